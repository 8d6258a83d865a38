#!/usr/bin/python3
"""demo.py start|stop: a throw-away primary with two streaming standbys and pgbalancer before them, under build/demo.

`start` shows what pgbalancer does and leaves everything running; `stop` ends it and removes build/demo. PostgreSQL refuses root, so
root's servers run as postgres. If that account cannot reach build/demo (a closed directory above it), the files lie in a private
directory below $TMPDIR or /tmp, build/demo is a link to it, and `stop` removes both.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test"))

from support import processes  # noqa: E402
from support.paths import postgres_major, postgres_program  # noqa: E402
from support.waiting import await_condition  # noqa: E402

BUILD = ROOT / "build"
DEMO = BUILD / "demo"
PGBALANCER = BUILD / "bin" / "pgbalancer"
CONF = DEMO / "pgbalancer.conf"
PASSFILE = DEMO / "pgpass"  # for people: the printed commands use it
HOST = "127.0.0.1"
USER = DATABASE = "demo"
SERVERS = ("primary", "standby1", "standby2")

WORKERS = 2
CONNECTIONS_PER_WORKER = 5
CLIENTS = 200


class DemoError(Exception):
    """Shown without a traceback."""


def say(text: str = "") -> None:
    print(text, flush=True)


def step(text: str) -> None:
    say(f"\n=== {text}")


def first_free_port(port: int) -> int:
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                return port
            except OSError:
                port += 1


class Login:
    """A port, a user and a password, and psql with them."""

    def __init__(self, port: int, user: str, password: str, database: str):
        self.environment = os.environ | {
            "PGHOST": HOST,
            "PGPORT": str(port),
            "PGUSER": user,
            "PGPASSWORD": password,
            "PGDATABASE": database,
            "PGCONNECT_TIMEOUT": "10",
        }

    def run(self, program: str, *arguments: str, **run_args) -> subprocess.CompletedProcess:
        return subprocess.run(
            [postgres_program(program), *arguments], env=self.environment, stdin=subprocess.DEVNULL, text=True, **run_args
        )

    def show(self, sql: str) -> None:
        """Runs psql as a user would, its answer for all to see."""
        say(f"$ psql -p {self.environment['PGPORT']} -c {sql!r}")
        if self.run("psql", "-X", "-c", sql).returncode != 0:
            raise DemoError("psql failed")

    def values(self, *statements: str) -> list[str]:
        """What the statements answer, one after the other in one session: lines, columns separated by |."""
        options = [word for sql in statements for word in ("-c", sql)]
        done = self.run("psql", "-X", "-A", "-t", "-q", *options, capture_output=True)
        if done.returncode != 0:
            raise DemoError(f"psql: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def answers(self) -> bool:
        return self.run("psql", "-X", "-c", "SELECT 1", capture_output=True).returncode == 0


# --- Servers ---


def make_directory() -> None:
    """build/demo, or a link at its place to a directory that the servers' account can reach."""
    DEMO.mkdir(parents=True)
    DEMO.chmod(0o755)
    try:
        processes.run_as_server_user(["test", "-x", DEMO])
    except RuntimeError:
        DEMO.rmdir()
        directory = Path(tempfile.mkdtemp(prefix="pgbalancer-demo."))
        directory.chmod(0o755)
        DEMO.symlink_to(directory)
        say(f"User {processes.server_user()} cannot reach {DEMO}: its files are in {directory}.")


def server_directory(server: str) -> Path:
    """By a path that the servers' account can follow."""
    return DEMO.resolve() / server


def data_directory(server: str) -> Path:
    return server_directory(server) / "data"


def pg_ctl(server: str, *arguments: str) -> None:
    processes.run_as_server_user(
        [postgres_program("pg_ctl"), "-D", data_directory(server), "-l", server_directory(server) / "log", "-w", *arguments],
        stdin=subprocess.DEVNULL,
    )


def configure_server(server: str, port: int) -> None:
    with open(data_directory(server) / "postgresql.conf", "a") as conf:
        conf.write(f"""
# The demo's; the last word of a setting counts.
port = {port}
listen_addresses = '{HOST}'
unix_socket_directories = ''
cluster_name = '{server}'   # by which a statement can tell where it ran
fsync = off                 # nothing here outlives the demo
shared_buffers = 32MB
""")


def start_primary(port: int, password: str) -> None:
    password_file = server_directory("primary") / "password"
    password_file.write_text(password)
    password_file.chmod(0o600)
    processes.give_to_server_user(password_file)
    processes.run_as_server_user([
        postgres_program("initdb"), "-D", data_directory("primary"), "-U", "postgres", "--auth=scram-sha-256",
        f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
    ])  # fmt: skip
    configure_server("primary", port)
    pg_ctl("primary", "start")


def start_standby(server: str, port: int, primary: Login) -> None:
    processes.run_as_server_user(
        [postgres_program("pg_basebackup"), "-D", data_directory(server), "-R", "-X", "stream", "-c", "fast", "--no-sync"],
        env={name: value for name, value in primary.environment.items() if name != "PGDATABASE"},
    )
    configure_server(server, port)
    pg_ctl(server, "start")


def start_servers() -> tuple[dict[str, int], Login, dict[str, str]]:
    """The servers' ports, a superuser's login to the primary and the passwords made for the other users."""
    passwords = {name: secrets.token_urlsafe(12) for name in ("postgres", USER, "health")}
    ports, port = {}, 54320
    for server in SERVERS:
        server_directory(server).mkdir()
        processes.give_to_server_user(server_directory(server))
        ports[server] = port = first_free_port(port + 1)

    start_primary(ports["primary"], passwords["postgres"])
    superuser = Login(ports["primary"], "postgres", passwords["postgres"], "postgres")
    superuser.values(
        f"CREATE ROLE {USER} LOGIN PASSWORD '{passwords[USER]}'",
        f"CREATE ROLE health LOGIN PASSWORD '{passwords['health']}'",
        "GRANT pg_monitor TO health",
        f"CREATE DATABASE {DATABASE} OWNER {USER}",
    )
    for server in SERVERS[1:]:
        start_standby(server, ports[server], superuser)
    streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
    await_condition(lambda: superuser.values(streaming) == ["2"], 30, "both standbys stream")
    for server in SERVERS:
        say(f"{server:9} {HOST}:{ports[server]}")
    return ports, superuser, passwords


# --- pgbalancer ---


def write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def start_pgbalancer(ports: dict[str, int], passwords: dict[str, str]) -> Login:
    port = first_free_port(9999)
    write_private(DEMO / "pool_passwd", f"{USER}:TEXT{passwords[USER]}\n")
    write_private(PASSFILE, f"{HOST}:*:*:{USER}:{passwords[USER]}\n")
    backends = "".join(
        f"backend_hostname{number} = '{HOST}'\n"
        f"backend_port{number} = {ports[server]}\n"
        f"backend_application_name{number} = '{server}'\n"
        for number, server in enumerate(SERVERS)
    )
    write_private(
        CONF,
        f"""\
listen_addresses = '{HOST}'
port = {port}
unix_socket_directories = ''

num_init_children = {WORKERS}
max_pool = {CONNECTIONS_PER_WORKER}
max_client_conn = 1000

{backends}
client_auth_method = scram-sha-256
pool_passwd = '{DEMO}/pool_passwd'

health_check_user = 'health'
health_check_password = '{passwords["health"]}'

pid_file_name = '{DEMO}/pgbalancer.pid'
work_dir = '{DEMO}'
log_destination = file
log_file = '{DEMO}/pgbalancer.log'
log_min_messages = info
""",
    )
    say(f"$ build/bin/pgbalancer -f {CONF.relative_to(ROOT)}")
    done = subprocess.run([PGBALANCER, "-f", CONF], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise DemoError(f"pgbalancer ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    client = Login(port, USER, passwords[USER], DATABASE)
    await_condition(client.answers, 30, "pgbalancer answers")
    say(f"pgbalancer {HOST}:{port}, {WORKERS} workers with {CONNECTIONS_PER_WORKER} server connections each")
    return client


def stop_pgbalancer() -> None:
    if PGBALANCER.exists() and CONF.exists():
        done = subprocess.run([PGBALANCER, "-f", CONF, "stop", "-m", "fast"], capture_output=True, text=True)
        if done.returncode == 0:
            return
    # Without its program, or when it does not listen: by the pid file, if that process is still ours.
    try:
        pid = int((DEMO / "pgbalancer.pid").read_text().split()[0])
        if str(CONF) not in processes.command_line(pid):
            return
        os.kill(pid, signal.SIGQUIT)
    except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
        return
    await_condition(lambda: not processes.is_alive(pid), 20, f"process {pid} is gone")


# --- What is shown ---


def show_session(client: Login, superuser: Login) -> None:
    step("A client talks to pgbalancer as to PostgreSQL")
    client.show("CREATE TABLE visits (id int GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT now())")
    client.show("INSERT INTO visits DEFAULT VALUES RETURNING id, current_user, current_setting('cluster_name') AS server")
    say("The standbys follow:")
    for line in superuser.values(
        "SELECT application_name || ' is ' || state || ', replayed up to ' || replay_lsn FROM pg_stat_replication ORDER BY 1"
    ):
        say(f"  {line}")


def show_pooling(client: Login, superuser: Login) -> None:
    step(f"{CLIENTS} clients at a time share a few server connections")
    if client.run("pgbench", "-i", "-q", "-s", "2", capture_output=True).returncode != 0:
        raise DemoError("pgbench -i failed")
    arguments = ["-n", "-c", str(CLIENTS), "-j", "2", "-T", "5", "-b", "select-only@9", "-b", "simple-update@1"]
    say(f"$ pgbench {' '.join(arguments)}")
    done = client.run("pgbench", *arguments, capture_output=True)
    if done.returncode != 0:
        raise DemoError(f"pgbench failed:\n{done.stdout}{done.stderr}")
    shown = ("number of clients", "number of transactions", "number of failed", "latency average", "tps")
    lines = done.stdout.split("SQL script")[0].splitlines()
    say("\n".join(f"  {line}" for line in lines if line.startswith(shown)))
    (connections,) = superuser.values(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{USER}'")
    say(f"  server connections that served them: {connections} of at most {WORKERS * CONNECTIONS_PER_WORKER}")


def show_routing(client: Login) -> None:
    step("Reads are spread over the servers, everything else goes to the primary")
    client.show("EXPLAIN ROUTE INSERT INTO visits DEFAULT VALUES")
    client.show("EXPLAIN ROUTE SELECT count(*) FROM visits")
    say("What pgbench's statements and those before went to, and why:")
    client.show("SHOW POOL_ROUTES")


def show_processes(client: Login) -> None:
    step("What pgbalancer says about itself")
    client.show("SHOW POOL_PROCESSES")


def say_how_to_connect(client: Login) -> None:
    passfile, conf = PASSFILE.relative_to(ROOT), CONF.relative_to(ROOT)
    step("It is running")
    say(f"""\
  connect          PGPASSFILE={passfile} psql -h {HOST} -p {client.environment["PGPORT"]} -U {USER} {DATABASE}
  configuration    {conf}    (then: build/bin/pgbalancer -f {conf} reload)
  log              {DEMO.relative_to(ROOT)}/pgbalancer.log
  end it           make demo-stop""")


# --- Start, stop ---


def tail(path: Path, lines: int = 20) -> str:
    try:
        return "".join(path.read_text(errors="replace").splitlines(keepends=True)[-lines:])
    except FileNotFoundError:
        return ""


def start() -> None:
    if postgres_major() < 13:
        raise DemoError(f"PostgreSQL 13 or later is needed; found {postgres_major()}")
    stop()
    step(f"A PostgreSQL {postgres_major()} primary and two streaming standbys")
    make_directory()
    ports, superuser, passwords = start_servers()
    step("pgbalancer before them")
    client = start_pgbalancer(ports, passwords)
    show_session(client, superuser)
    show_pooling(client, superuser)
    show_routing(client)
    show_processes(client)
    say_how_to_connect(client)


def stop() -> None:
    if not DEMO.exists() and not DEMO.is_symlink():
        return
    say("Stopping the demo that runs")
    stop_pgbalancer()
    for server in reversed(SERVERS):
        if (data_directory(server) / "postmaster.pid").exists():
            pg_ctl(server, "stop", "-m", "fast")
    directory = DEMO.resolve()
    if DEMO.is_symlink():
        DEMO.unlink()
    shutil.rmtree(directory, ignore_errors=True)


def main() -> int:
    actions = {"start": start, "stop": stop}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        actions[sys.argv[1]]()
        return 0
    except (DemoError, AssertionError, RuntimeError, OSError, KeyboardInterrupt) as error:
        say(f"\nThe demo failed: {error or type(error).__name__}")
        say(tail(DEMO / "pgbalancer.log"))
        if sys.argv[1] == "start":
            stop()
        return 1


sys.exit(main())
