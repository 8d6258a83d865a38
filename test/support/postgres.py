"""Throw-away PostgreSQL servers: a primary and, where asked for, streaming standbys.

A cluster's superuser is `postgres`, its other logins are in USERS with their passwords. Connections from this machine
are trusted, except to the databases in AUTH_DATABASES, each of which asks for one method. Durability is off: a server
that a test crashes on purpose still recovers, since the operating system lives on.
"""

import shutil
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import psycopg

from . import processes
from .paths import postgres_program
from .ports import free_port
from .tempdirs import SessionDirectory
from .waiting import await_condition

HOST = "127.0.0.1"

USERS = {
    "app": "app-secret",  # owns the test databases
    "other": "other-secret",
    "health": "health-secret",  # what pgbalancer logs in as for itself
}

# database → the method pg_hba.conf asks for
AUTH_DATABASES = {"auth_scram": "scram-sha-256", "auth_md5": "md5", "auth_password": "password"}

_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_prepared_transactions": "20",
    "wal_level": "logical",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "wal_keep_size": "64MB",
    "max_wal_size": "512MB",
    "hot_standby_feedback": "on",
    "listen_addresses": HOST,
    "log_line_prefix": "%m [%p] %q%u@%d/%a ",
    "log_min_error_statement": "panic",
    "jit": "off",
    # Below the data directory, so that it goes with it even when the server was killed.
    "dynamic_shared_memory_type": "mmap",
}


def _quote(value) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"


class PostgresServer:
    """One data directory and the postmaster that serves it."""

    def __init__(self, directory: Path):
        """`directory` belongs to the account servers run as; `data` inside is made by who calls this."""
        self.directory = directory
        self.data = directory / "data"
        self.port = free_port()
        self.host = HOST
        self.socket_directory = directory
        self._log_path = directory / "log"
        self._process = None

    # Configuration

    def set(self, **settings) -> None:
        """Appends to postgresql.conf; the last word of a name wins. reload() or restart() makes it count."""
        with open(self.data / "postgresql.conf", "a") as conf:
            for name, value in settings.items():
                conf.write(f"{name} = {_quote(value)}\n")

    # Life

    def start(self) -> None:
        assert self._process is None
        with open(self._log_path, "ab") as log:
            # SIGQUIT: the postmaster takes its backends along, whoever killed the tests.
            self._process = processes.spawn(
                [postgres_program("postgres"), "-D", self.data, "-p", str(self.port), "-k", self.socket_directory],
                as_server_user=True,
                death_signal=signal.SIGQUIT,
                stdout=log,
                stderr=log,
            )
        await_condition(self._accepts, 30, f"PostgreSQL on port {self.port} accepts")

    def _accepts(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended with {self._process.returncode}:\n{self.log_text()}")
        try:
            self.connect().close()
            return True
        except psycopg.OperationalError:
            return False

    def stop(self, signum: int = signal.SIGINT) -> None:
        """SIGTERM smart, SIGINT fast, SIGQUIT immediate shutdown."""
        process, self._process = self._process, None
        if process is not None:
            processes.stop(process, signum, 30)

    def kill(self) -> None:
        """A crash: SIGKILL to the postmaster; returns when its processes have gone too."""
        process, self._process = self._process, None
        orphans = processes.children(process.pid)
        process.kill()
        process.wait()
        await_condition(lambda: not any(processes.is_alive(pid) for pid in orphans), 20, "backends gone")

    def restart(self) -> None:
        self.stop()
        self.start()

    def reload(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log_text(self) -> str:
        return self._log_path.read_text(errors="replace")

    # Connections

    def parameters(self, **overrides) -> dict:
        """libpq parameters to reach this server directly; the superuser on `postgres` unless overridden."""
        return {"host": self.host, "port": self.port, "user": "postgres", "dbname": "postgres"} | overrides

    def connect(self, **overrides) -> psycopg.Connection:
        """A direct psycopg connection in autocommit mode."""
        return psycopg.connect(**{"autocommit": True, "connect_timeout": 10} | self.parameters(**overrides))

    def query(self, sql: str, params=None, **overrides) -> list[tuple]:
        """Runs one statement on a direct connection of its own; the rows, if any."""
        with self.connect(**overrides) as connection:
            cursor = connection.execute(sql, params)
            return cursor.fetchall() if cursor.description else []

    def scalar(self, sql: str, params=None, **overrides):
        return self.query(sql, params, **overrides)[0][0]


class PostgresCluster:
    """A running primary and its standbys. `settings` are added to the fast defaults; stop() ends them all."""

    _template_lock = threading.Lock()
    _templates: dict[tuple, Path] = {}

    def __init__(self, session: SessionDirectory, standbys: int = 0, locale: str = "C.UTF-8", **settings):
        self._session = session
        self.standbys: list[PostgresServer] = []
        self.primary = PostgresServer(session.make("pg", for_server=True))
        processes.run_as_server_user(["cp", "-a", self._template(locale), self.primary.data])
        self._write_hba(self.primary)
        self.primary.set(**_SETTINGS | settings)
        self.primary.start()
        self._create_users()
        for _ in range(standbys):
            self.add_standby()

    def _template(self, locale: str) -> Path:
        with self._template_lock:
            key = (self._session.path, locale)
            if key not in self._templates:
                path = self._session.make("template", for_server=True) / "data"
                processes.run_as_server_user(
                    [postgres_program("initdb"), "-D", path, "-U", "postgres", "--auth=trust", "--no-sync",
                     "--encoding=UTF8", f"--locale={locale}", "--no-instructions"]
                )  # fmt: skip
                self._templates[key] = path
            return self._templates[key]

    @staticmethod
    def _write_hba(server: PostgresServer) -> None:
        lines = [f"host {database} all all {method}" for database, method in AUTH_DATABASES.items()]
        lines += ["local all all trust", "host all all all trust"]
        lines += ["local replication all trust", "host replication all all trust"]
        (server.data / "pg_hba.conf").write_text("\n".join(lines) + "\n")

    def _create_users(self) -> None:
        with self.primary.connect() as connection:
            for user, password in USERS.items():
                connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
            connection.execute("GRANT pg_monitor TO health")
            for database in AUTH_DATABASES:
                connection.execute(f"CREATE DATABASE {database} OWNER app")

    @property
    def servers(self) -> list[PostgresServer]:
        return [self.primary, *self.standbys]

    def add_standby(self) -> PostgresServer:
        """A streaming standby of the primary, started; returns once it receives. Its application_name is the one that
        pgbalancer expects of a cluster's servers in their order.
        """
        standby = PostgresServer(self._session.make("pg", for_server=True))
        source = f"host={HOST} port={self.primary.port} user=postgres application_name=server{len(self.servers)}"
        processes.run_as_server_user(
            [postgres_program("pg_basebackup"), "-d", source, "-D", standby.data, "-R", "-X", "stream", "-c", "fast",
             "--no-sync"]
        )  # fmt: skip
        standby.start()
        self.standbys.append(standby)
        streams = "SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"
        await_condition(lambda: standby.query(streams), 30, "standby streams")
        return standby

    def await_replay(self, deadline: float = 10) -> None:
        """Returns when every standby has replayed what the primary had written on entry."""
        position = self.primary.scalar("SELECT pg_current_wal_flush_lsn()")
        for standby in self.standbys:
            await_condition(
                lambda: standby.scalar("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [position]), deadline, "replay"
            )

    def stop(self) -> None:
        for server in reversed(self.servers):
            if server.running:
                server.stop(signal.SIGQUIT)
            shutil.rmtree(server.directory, ignore_errors=True)

    # Databases

    @contextmanager
    def database(self, name: str, owner: str = "app"):
        """A database of its own for a test; dropped afterwards with whatever is connected to it."""
        with self.primary.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" OWNER {owner}')
        try:
            yield name
        finally:
            with self.primary.connect() as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
