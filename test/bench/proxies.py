"""How each contestant is set up and started: the floor, pgbouncer, pgpool-II, HAProxy, pgbalancer, and no proxy at
all.

Each is as its packages ship it except for what the comparison needs: trust authentication, no TLS, no logging per
connection, and as many server connections as there are clients. All listen on 127.0.0.1 and reach the server the same
way, over TCP on loopback or over its Unix-domain socket (`Setup.transport`). Processes are children of this one, in
the foreground, and die with it.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support import processes
from support.balancer import PgBalancer as SupportPgBalancer
from support.paths import BUILD, ROOT, pgbalancer_binary
from support.ports import free_port
from support.postgres import HOST, PostgresCluster
from support.tempdirs import SessionDirectory
from support.waiting import await_condition

DATABASE = "bench"
USER = "app"


class Unavailable(Exception):
    """The contestant is not installed or not built here."""


@dataclass
class Setup:
    """What all contestants of one run share."""

    session: SessionDirectory
    cluster: PostgresCluster
    workers: int  # of pgbalancer, hence copies of floor and threads of HAProxy
    capacity: int  # server connections, at least the largest number of clients
    transport: str  # to the server: tcp or unix

    @property
    def server_host(self) -> str:
        return HOST if self.transport == "tcp" else str(self.cluster.primary.socket_directory)

    @property
    def server_port(self) -> int:
        return self.cluster.primary.port

    @property
    def server_socket(self) -> str:
        return f"{self.cluster.primary.socket_directory}/.s.PGSQL.{self.server_port}"


def find_program(name: str) -> str:
    """A program of PATH or of the directories daemons live in; Unavailable if there is none."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Unavailable(f"{name} is not installed")
    return found


def _version(argv: list[str], pattern: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True)
    match = re.search(pattern, done.stdout + done.stderr)
    return match.group(1) if match else "?"


class Proxy:
    """One running contestant: where clients connect, and the root of its processes.

    `database(protocol)` is the name clients of that pgbench protocol ask for, or None if the contestant cannot serve
    it in this setup.
    """

    name: str
    title: str
    port: int

    def __init__(self, setup: Setup):
        self._setup = setup
        self._process: subprocess.Popen | None = None
        self.port = free_port()

    @property
    def root_pid(self) -> int | None:
        """None: nothing stands between client and server."""
        return self._process.pid if self._process else None

    def version(self) -> str:
        return ""

    def database(self, protocol: str) -> str | None:
        return DATABASE

    def note(self, protocol: str) -> str:
        """What a reader must know of this cell, if anything."""
        return ""

    def stop(self) -> None:
        process, self._process = self._process, None
        if process:
            processes.stop(process, self._stop_signal)

    _stop_signal = signal.SIGTERM

    def _spawn(self, argv: list, directory: Path | None = None, **spawn_args) -> None:
        directory = directory or self._setup.session.make(self.name)
        self.log_path = directory / "output"
        with open(self.log_path, "wb") as log:
            self._process = processes.spawn(argv, stdout=log, stderr=log, cwd=directory, **spawn_args)
        await_condition(self._accepts, 20, f"{self.name} accepts")

    def _accepts(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self._process.returncode}:\n{self.log_path.read_text()}")
        try:
            socket.create_connection((HOST, self.port), 1).close()
            return True
        except OSError:
            return False


class Direct(Proxy):
    name = title = "direct"

    def __init__(self, setup: Setup):
        super().__init__(setup)
        self.port = setup.server_port


class Floor(Proxy):
    name = title = "floor"

    def __init__(self, setup: Setup):
        super().__init__(setup)
        server = str(setup.server_port) if setup.transport == "tcp" else setup.server_socket
        self._spawn([self._build(), str(self.port), server, str(setup.workers)])

    @staticmethod
    def _build() -> Path:
        source = ROOT / "test" / "bench" / "floor.cpp"
        program = BUILD / "bench" / "floor"
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            program.parent.mkdir(parents=True, exist_ok=True)
            compiler = os.environ.get("CXX", "c++")
            subprocess.run([compiler, "-std=c++20", "-O2", "-g", "-o", program, source], check=True)
        return program


class PgBouncer(Proxy):
    """Transaction pooling; one process, which is all pgbouncer uses of its own accord.

    Before 1.21 it knows nothing of prepared statements, so pgbench's prepared protocol is given a session pool.
    """

    name = title = "pgbouncer"

    def __init__(self, setup: Setup, capacity: int | None = None, max_clients: int = 1000):
        super().__init__(setup)
        program = find_program("pgbouncer")
        self._capacity = capacity or setup.capacity
        self._has_prepared = self._version_numbers(program) >= (1, 21)
        directory = setup.session.make(self.name, for_server=True)
        server = f"host={setup.server_host} port={setup.server_port} dbname={DATABASE}"
        (directory / "users").write_text(f'"{USER}" ""\n')
        (directory / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"{DATABASE} = {server}\n"
            f"{DATABASE}_session = {server} pool_mode=session\n"
            "[pgbouncer]\n"
            f"listen_addr = {HOST}\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {directory}/users\n"
            "pool_mode = transaction\n"
            f"default_pool_size = {self._capacity}\nmax_client_conn = {max_clients}\n"
            "log_connections = 0\nlog_disconnections = 0\nignore_startup_parameters = extra_float_digits\n"
            + ("max_prepared_statements = 100\n" if self._has_prepared else "")
        )
        self._spawn([program, directory / "pgbouncer.ini"], directory, as_server_user=True, death_signal=signal.SIGTERM)

    @staticmethod
    def _version_numbers(program: str) -> tuple[int, ...]:
        return tuple(int(n) for n in _version([program, "--version"], r"PgBouncer (\d+\.\d+)").split("."))

    def version(self) -> str:
        return _version([find_program("pgbouncer"), "--version"], r"PgBouncer (\S+)")

    def database(self, protocol: str) -> str | None:
        if protocol != "prepared" or self._has_prepared:
            return DATABASE
        # A session pool serves no more clients than it has connections.
        return f"{DATABASE}_session" if self._capacity >= self._setup.capacity else None

    def note(self, protocol: str) -> str:
        return "session pooling" if self.database(protocol) != DATABASE else ""


class PgPool(Proxy):
    """A process per client, as many as there can be clients; it parses every statement for load balancing, as it does
    by default.
    """

    name, title = "pgpool", "pgpool-II"
    _stop_signal = signal.SIGINT

    def __init__(self, setup: Setup):
        super().__init__(setup)
        program = find_program("pgpool")
        directory = setup.session.make(self.name, for_server=True)
        (directory / "pool_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")
        (directory / "pcp.conf").write_text("")
        settings = {
            "backend_clustering_mode": "streaming_replication",
            "listen_addresses": HOST,
            "port": self.port,
            "socket_dir": directory,
            "pcp_listen_addresses": HOST,
            "pcp_port": free_port(),
            "pcp_socket_dir": directory,
            "wd_ipc_socket_dir": directory,
            "pid_file_name": directory / "pid",
            "logdir": directory,
            "work_dir": directory,
            "backend_hostname0": setup.server_host,
            "backend_port0": setup.server_port,
            "backend_weight0": 1,
            "backend_flag0": "ALLOW_TO_FAILOVER",
            "num_init_children": setup.capacity,
            "max_pool": 1,
            "connection_cache": "on",
            "load_balance_mode": "on",
            "sr_check_user": "postgres",
            "sr_check_database": "postgres",
        }
        lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
        (directory / "pgpool.conf").write_text("".join(lines))
        files = ["-f", directory / "pgpool.conf", "-a", directory / "pool_hba.conf", "-F", directory / "pcp.conf"]
        self._spawn([program, "-n", *files], directory, as_server_user=True, death_signal=signal.SIGQUIT)

    def version(self) -> str:
        return _version([find_program("pgpool"), "--version"], r"version (\S+)")


class HAProxy(Proxy):
    """TCP mode, a thread per worker of pgbalancer."""

    name, title = "haproxy", "HAProxy (TCP)"

    def __init__(self, setup: Setup):
        super().__init__(setup)
        program = find_program("haproxy")
        directory = setup.session.make(self.name)
        server = f"{HOST}:{setup.server_port}" if setup.transport == "tcp" else f"unix@{setup.server_socket}"
        (directory / "haproxy.cfg").write_text(
            "global\n"
            f"    nbthread {setup.workers}\n"
            "defaults\n"
            "    mode tcp\n    timeout connect 10s\n    timeout client 1h\n    timeout server 1h\n"
            f"listen postgres\n    bind {HOST}:{self.port}\n    server primary {server}\n"
        )
        self._spawn([program, "-db", "-f", directory / "haproxy.cfg"], directory)

    def version(self) -> str:
        return _version([find_program("haproxy"), "-v"], r"version (\S+)")


class PgBalancer(Proxy):
    """`capacity` server connections split over the workers; routing on, since it cannot be off."""

    name = title = "pgbalancer"

    def __init__(self, setup: Setup, capacity: int | None = None, max_clients: int = 1000, workers: int | None = None):
        super().__init__(setup)
        if not pgbalancer_binary().exists():
            raise Unavailable(f"{pgbalancer_binary().name} is not built")
        workers = workers or setup.workers
        self._balancer = SupportPgBalancer(
            setup.session,
            backends=[(setup.server_host, setup.server_port)],
            num_init_children=workers,
            max_pool=-(-(capacity or setup.capacity) // workers),
            max_client_conn=max_clients,
            log_min_messages="notice",
            health_check_period="2s",
        )
        self.port = self._balancer.port

    @property
    def root_pid(self) -> int:
        return self._balancer.pid

    def worker_pids(self) -> list[int]:
        return self._balancer.worker_pids()

    def version(self) -> str:
        return _version([str(pgbalancer_binary()), "--version"], r"pgbalancer (\S+)")

    def stop(self) -> None:
        self._balancer.stop()


CONTESTANTS: list[type[Proxy]] = [Direct, Floor, PgBouncer, PgPool, HAProxy, PgBalancer]
