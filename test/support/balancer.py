"""pgbalancer under test: writes a configuration, runs it in the foreground, waits until it serves, keeps its log.

With PGBALANCER_TEST_TARGET=direct, `Direct` takes its place: the same interface, but connections go straight to
PostgreSQL. That checks the tests themselves against the server they take as their oracle; tests about pgbalancer alone
are skipped then.
"""

import os
import signal
import subprocess
from pathlib import Path

import psycopg

from . import processes
from .paths import pgbalancer_binary
from .ports import free_port
from .postgres import HOST, USERS, PostgresCluster
from .tempdirs import SessionDirectory
from .waiting import ConditionNotMet, await_condition

DIRECT = os.environ.get("PGBALANCER_TEST_TARGET") == "direct"


def _quote(value) -> str:
    return "'" + str(value).replace("'", "''") + "'"


class _Target:
    """What can be connected to: host and port."""

    host = HOST
    port: int

    def parameters(self, **overrides) -> dict:
        """libpq parameters; user app unless overridden. Name a dbname."""
        return {"host": self.host, "port": self.port, "user": "app"} | overrides

    def conninfo(self, **overrides) -> str:
        return psycopg.conninfo.make_conninfo(**self.parameters(**overrides))

    def connect(self, **overrides) -> psycopg.Connection:
        """A psycopg connection in autocommit mode."""
        return psycopg.connect(**{"autocommit": True, "connect_timeout": 10} | self.parameters(**overrides))

    def query(self, sql: str, params=None, **overrides) -> list[tuple]:
        with self.connect(**overrides) as connection:
            cursor = connection.execute(sql, params)
            return cursor.fetchall() if cursor.description else []


class Direct(_Target):
    """PostgreSQL itself in pgbalancer's place."""

    def __init__(self, cluster: PostgresCluster):
        self.port = cluster.primary.port
        self.socket_directory = cluster.primary.socket_directory

    def stop(self) -> None:
        pass


class PgBalancer(_Target):
    """A running pgbalancer.

    `settings` override the defaults below; a value None leaves the key out. Backends are `backends`, (host, port) pairs,
    or the cluster's servers. `secrets` are the lines of pool_passwd.
    """

    def __init__(
        self,
        session: SessionDirectory,
        cluster: PostgresCluster | None = None,
        *,
        backends=None,
        secrets: list[str] | None = None,
        start: bool = True,
        environment: dict | None = None,
        **settings,
    ):
        self.directory = session.make("balancer")
        self.port = free_port()
        self.socket_directory = self.directory
        self.conf_path = self.directory / "pgbalancer.conf"
        self.pid_path = self.directory / "pgbalancer.pid"
        self.passwd_path = self.directory / "pool_passwd"
        self._log_path = self.directory / "log"
        self._environment = os.environ | (environment or {})
        self._process = None
        if backends is None:
            backends = [(server.host, server.port) for server in cluster.servers]
        self.write_secrets(secrets or [])
        self.settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": self.directory,
            "num_init_children": 2,
            "max_pool": 8,
            "max_client_conn": 500,
            "pool_passwd": self.passwd_path,
            "client_auth_method": "trust",
            "pid_file_name": self.pid_path,
            "work_dir": self.directory,
            "log_min_messages": "info",
            "health_check_user": "health",
            "health_check_password": USERS["health"],
            "health_check_database": "postgres",
            "health_check_period": "500ms",
        }
        for number, (host, port) in enumerate(backends):
            self.settings |= {f"backend_hostname{number}": host, f"backend_port{number}": port}
        self.settings |= settings
        self.write_conf()
        if start:
            self.start()

    # Configuration

    def write_conf(self, **changes) -> None:
        """Writes pgbalancer.conf with these changes to `settings`; reload() or a start makes them count."""
        self.settings |= changes
        lines = [f"{name} = {_quote(value)}" for name, value in self.settings.items() if value is not None]
        self.conf_path.write_text("\n".join(lines) + "\n")

    def write_secrets(self, lines: list[str]) -> None:
        self.passwd_path.write_text("".join(line + "\n" for line in lines))
        self.passwd_path.chmod(0o600)

    # Life

    def launch(self) -> None:
        """Starts the process without waiting for it."""
        assert self._process is None
        with open(self._log_path, "ab") as log:
            # SIGQUIT first of all so that its children go too; they follow a killed supervisor by themselves anyway.
            self._process = processes.spawn(
                [pgbalancer_binary(), "-n", "-f", self.conf_path],
                death_signal=signal.SIGQUIT,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self.directory,
            )

    def start(self, deadline: float = 15) -> None:
        """Starts it and waits until a client can log in and query."""
        self.launch()
        try:
            await_condition(self.serves, deadline, "pgbalancer serves")
        except ConditionNotMet as error:
            self.kill()
            raise ConditionNotMet(f"{error}\n{self.log_text()}") from None

    def serves(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"pgbalancer ended with {self._process.returncode}:\n{self.log_text()}")
        try:
            # With authentication on, being asked for a password is as good an answer.
            return self.query("SELECT 1", user="postgres", dbname="postgres") == [(1,)]
        except psycopg.OperationalError as error:
            return "password" in str(error) or "authentication" in str(error)

    def stop(self, signum: int = signal.SIGINT, timeout: float = 20) -> int | None:
        """SIGTERM smart, SIGINT fast, SIGQUIT immediate; returns the exit code. No process may be left."""
        process, self._process = self._process, None
        if process is None:
            return None
        family = [process.pid, *processes.children(process.pid)]
        code = processes.stop(process, signum, timeout)
        await_condition(lambda: not any(processes.is_alive(pid) for pid in family), 10, "no orphan of pgbalancer")
        return code

    def kill(self) -> None:
        """SIGKILL to the supervisor alone; returns when its children have followed."""
        process, self._process = self._process, None
        if process is not None:
            family = processes.children(process.pid)
            process.kill()
            process.wait()
            await_condition(lambda: not any(processes.is_alive(pid) for pid in family), 10, "children follow")

    def wait(self, timeout: float = 10) -> int:
        """Waits for a process that ends by itself; its exit code."""
        code = self._process.wait(timeout)
        self._process = None
        return code

    def reload(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    def signal(self, signum: int) -> None:
        self._process.send_signal(signum)

    def command(self, *arguments: str) -> subprocess.CompletedProcess:
        """Runs `pgbalancer -f conf ARGUMENTS` (check, status, reload, stop …) to its end."""
        argv = [pgbalancer_binary(), "-f", self.conf_path, *arguments]
        return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=30, env=self._environment)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def worker_pids(self) -> list[int]:
        """The workers, told from other children by their process title."""
        return [pid for pid in processes.children(self.pid) if "worker" in processes.command_line(pid)]

    def user_memory_bytes(self) -> int:
        """Private memory of all workers together."""
        return sum(processes.user_memory_bytes(pid) for pid in self.worker_pids())

    def log_text(self) -> str:
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    # What SHOW tells

    def show(self, what: str, dbname: str = "postgres", user: str = "postgres") -> list[dict]:
        """The rows of SHOW `what` (POOL_PROCESSES …) by column name."""
        with self.connect(dbname=dbname, user=user, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(f"SHOW {what}").fetchall()
