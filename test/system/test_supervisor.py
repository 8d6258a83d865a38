"""The process tree: starting, replacing, reloading and ending it, and what it leaves behind when it is killed: nothing."""

import os
import re
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from support import frontend, processes
from support.balancer import PgBalancer
from support.paths import BUILD, pgbalancer_binary
from support.postgres import HOST, PostgresCluster
from support.waiting import await_condition

pytestmark = pytest.mark.pooler_only


@pytest.fixture
def prepare(session_directory, cluster):
    """prepare(**settings) writes a configuration without starting anything; what the test started is ended."""
    made = []

    def make(**settings):
        balancer = PgBalancer(session_directory, cluster, start=False, **settings)
        made.append(balancer)
        return balancer

    yield make
    for balancer in made:
        balancer.stop(signal.SIGQUIT)
        balancer.command("stop", "-m", "immediate")


@contextmanager
def daemon(balancer):
    """Started as a daemon; yields its process id."""
    started = balancer.command()
    assert started.returncode == 0, started.stderr
    try:
        yield int(balancer.pid_path.read_text())
    finally:
        balancer.command("stop", "-m", "immediate")


def socket_path(balancer):
    return balancer.socket_directory / f".s.PGSQL.{balancer.port}"


def left_files(balancer):
    """What there is only while it runs."""
    lock = socket_path(balancer).with_name(socket_path(balancer).name + ".lock")
    files = [balancer.pid_path, socket_path(balancer), lock, balancer.directory / "pgbalancer.status"]
    return [path for path in files if path.exists() or path.is_symlink()]


def answers(balancer):
    try:
        return balancer.query("SELECT 1", dbname="postgres") == [(1,)]
    except psycopg.OperationalError:
        return False


def refuses(balancer):
    try:
        socket.create_connection((balancer.host, balancer.port)).close()
        return False
    except ConnectionResetError:
        return False  # the listener went while it still was in the queue
    except ConnectionRefusedError:
        return True


def fatal_sqlstate(client):
    """SQLSTATE of the message with which the other end takes its leave of this RawClient."""
    messages = client.receive_to_end()
    assert messages and messages[-1].kind == b"E" and messages[-1].fields["S"] == "FATAL", messages
    return messages[-1].sqlstate


def served_by(pid, port):
    """The ports of the clients that this worker has accepted on `port`."""
    sockets = {os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}
    clients = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        established = fields[3] == "01"
        if established and fields[1].endswith(f":{port:04X}") and f"socket:[{fields[9]}]" in sockets:
            clients.add(int(fields[2].split(":")[1], 16))
    return clients


# Starting and stopping


@pytest.mark.parametrize("mode", ["smart", "fast", "immediate"])
def test_daemon_serves_when_the_command_returns_and_leaves_nothing(prepare, mode):
    balancer = prepare()
    with daemon(balancer) as pid:
        assert answers(balancer)
        family = [pid, *processes.children(pid)]
        assert len(family) == 4  # supervisor, health, two workers
        assert os.getsid(pid) != os.getsid(0)
        stopped = balancer.command("stop", "-m", mode)
        assert stopped.returncode == 0, stopped.stderr
        await_condition(lambda: not any(processes.is_alive(p) for p in family))
    assert left_files(balancer) == []


def test_status_tells_what_runs(prepare):
    balancer = prepare()
    before = balancer.command("status")
    with daemon(balancer) as pid:
        await_condition(lambda: "2 of 2 ready" in balancer.command("status").stdout, what="both workers are ready")
        during = balancer.command("status")
    after = balancer.command("status")
    assert (before.returncode, during.returncode, after.returncode) == (3, 0, 3)
    assert f"PID {pid}" in during.stdout
    assert "workers: 2 of 2 ready" in during.stdout
    assert re.search(r"^node 0: .* up, primary$", during.stdout, re.MULTILINE)


def test_commands_without_a_running_instance(prepare):
    balancer = prepare()
    assert balancer.command("stop").returncode == 0
    assert balancer.command("reload").returncode == 1
    # Nor does a pid file make one: this process lives, but holds no lock.
    balancer.pid_path.write_text(f"{os.getpid()}\n")
    assert balancer.command("status").returncode == 3
    assert balancer.command("stop", "-m", "immediate").returncode == 0


def test_a_second_instance_is_refused(prepare):
    balancer = prepare()
    with daemon(balancer) as pid:
        second = balancer.command()
        assert second.returncode == 2 and str(pid) in second.stderr
        assert answers(balancer)


def test_a_taken_port_is_exit_code_2(prepare):
    balancer = prepare()
    with socket.create_server((HOST, balancer.port)):
        started = balancer.command()
        foreground = subprocess.run([pgbalancer_binary(), "-n", "-f", balancer.conf_path], capture_output=True, text=True, timeout=30)
    for done in started, foreground:
        assert done.returncode == 2
        assert f"{HOST}:{balancer.port}" in done.stderr and "in use" in done.stderr
    assert left_files(balancer) == []


def test_a_broken_configuration_is_exit_code_2(prepare):
    balancer = prepare(no_such_parameter=1)
    started = balancer.command()
    assert started.returncode == 2 and "no_such_parameter" in started.stderr
    assert left_files(balancer) == []


def test_what_no_worker_can_start_with_is_exit_code_2(prepare):
    balancer = prepare(log_destination="file", enable_pool_hba="on")
    rules, log = balancer.directory / "pool_hba.conf", balancer.directory / "pgbalancer.log"
    rules.write_text("nonsense\n")
    balancer.write_conf(log_file=log, pool_hba_file=rules)
    started = balancer.command()
    assert started.returncode == 2 and "worker" in started.stderr
    assert re.search(r"worker \d ERROR: .*pool_hba.conf", log.read_text())
    assert left_files(balancer) == []


def test_a_worker_that_gave_up_gets_another_chance_with_a_reload(make_balancer, session_directory):
    rules = session_directory.make("hba") / "pool_hba.conf"
    rules.write_text("host all all 127.0.0.1/32 trust\n")
    balancer = make_balancer(enable_pool_hba="on", pool_hba_file=rules)
    rules.write_text("nonsense\n")
    os.kill(balancer.worker_pids()[0], signal.SIGKILL)
    await_condition(lambda: "goes on without it" in balancer.log_text())
    assert len(balancer.worker_pids()) == 1 and answers(balancer)
    rules.write_text("host all all 127.0.0.1/32 trust\n")
    balancer.reload()
    await_condition(lambda: "workers: 2 of 2 ready" in balancer.command("status").stdout)


def test_it_starts_without_any_server(session_directory):
    with socket.create_server((HOST, 0)) as nobody:
        port = nobody.getsockname()[1]
    balancer = PgBalancer(session_directory, backends=[(HOST, port)], start=False)
    with daemon(balancer):
        status = balancer.command("status").stdout
        assert "node 0" in status and "down" in status


def test_smart_waits_for_transactions_fast_overrides(make_balancer, raw):
    balancer = make_balancer()
    idle, first, second = (raw(balancer) for _ in range(3))
    idle.query("SELECT 1")
    for client in first, second:
        client.query("BEGIN")
        client.query("SELECT 1")
    balancer.signal(signal.SIGTERM)
    assert fatal_sqlstate(idle) == "57P01"
    await_condition(lambda: refuses(balancer), what="nobody listens")
    assert first.value("SELECT 41 + 1") == "42"
    first.send(frontend.query("COMMIT"))
    assert fatal_sqlstate(first) == "57P01"
    assert balancer.running
    balancer.signal(signal.SIGINT)
    assert fatal_sqlstate(second) == "57P01"
    assert balancer.wait() == 0
    assert left_files(balancer) == []


def test_a_worker_that_does_not_listen_is_killed(make_balancer):
    balancer = make_balancer()
    os.kill(balancer.worker_pids()[0], signal.SIGSTOP)
    balancer.signal(signal.SIGINT)
    await_condition(lambda: refuses(balancer), what="nobody listens")
    assert balancer.running
    balancer.signal(signal.SIGQUIT)
    assert balancer.wait() == 0
    assert left_files(balancer) == []


@pytest.mark.long
def test_fast_shutdown_takes_bounded_time(make_balancer):
    balancer = make_balancer()
    os.kill(balancer.worker_pids()[0], signal.SIGSTOP)
    balancer.signal(signal.SIGINT)
    assert balancer.wait(timeout=15) == 0
    assert "worker 0 is killed" in balancer.log_text()


def test_smart_ends_with_the_last_transaction(make_balancer, dbname):
    balancer = make_balancer()
    connection = balancer.connect(dbname=dbname, autocommit=False)
    connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    balancer.signal(signal.SIGTERM)
    await_condition(lambda: not socket_path(balancer).exists())
    connection.commit()
    assert balancer.wait() == 0
    assert left_files(balancer) == []


def test_a_terminals_interrupt_reaches_only_the_supervisor(make_balancer, dbname):
    balancer = make_balancer()
    workers = balancer.worker_pids()
    with balancer.connect(dbname=dbname) as connection:
        for signum in signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP:
            for pid in processes.children(balancer.pid):
                os.kill(pid, signum)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert balancer.worker_pids() == workers


# What is killed


def test_a_killed_supervisor_leaves_nothing_and_can_start_again(make_balancer, dbname):
    balancer = make_balancer()
    balancer.connect(dbname=dbname).execute("SELECT 1")
    balancer.kill()
    await_condition(lambda: left_files(balancer) == [])
    balancer.start()
    assert answers(balancer)


def test_a_successor_need_not_wait(make_balancer):
    """Started while the children of the killed one may still have the port."""
    balancer = make_balancer()
    for _ in range(5):
        process = balancer._process
        process.kill()
        process.wait()
        balancer._process = None
        balancer.start()
        assert answers(balancer)


def test_a_successor_waits_for_a_slow_child(make_balancer):
    """The quicker ones have removed the killed one's files by then."""
    balancer = make_balancer(num_init_children=2)
    slow = balancer.worker_pids()[0]
    os.kill(slow, signal.SIGSTOP)
    try:
        balancer._process.kill()
        balancer._process.wait()
        balancer._process = None
        await_condition(lambda: left_files(balancer) == [], what="the files are gone")
        balancer.launch()
        await_condition(balancer.pid_path.exists, what="a successor has started")
    finally:
        os.kill(slow, signal.SIGCONT)
    await_condition(balancer.serves, what="the successor serves")


def test_files_of_the_dead_are_replaced(prepare):
    """Everybody killed at once, or the machine reset: nobody was there to clean up."""
    balancer = prepare()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path(balancer)))
    balancer.pid_path.write_text(f"{os.getpid()}\n")
    socket_path(balancer).with_name(socket_path(balancer).name + ".lock").write_text(f"{os.getpid()}\n")
    with daemon(balancer) as pid:
        assert pid != os.getpid()
        with psycopg.connect(host=str(balancer.socket_directory), port=balancer.port, user="app", dbname="postgres") as local:
            assert local.execute("SELECT 1").fetchone() == (1,)
    assert left_files(balancer) == []


def test_a_living_servers_socket_is_respected(prepare):
    balancer = prepare()
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(socket_path(balancer)))
        living.listen()
        started = balancer.command()
        assert started.returncode == 2 and "another server" in started.stderr
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(socket_path(balancer)))


def test_a_killed_worker_is_replaced_and_only_its_clients_notice(make_balancer, dbname):
    balancer = make_balancer()
    before = balancer.worker_pids()
    connections = {}
    for _ in range(20):
        connection = balancer.connect(dbname=dbname)
        with socket.socket(fileno=os.dup(connection.fileno())) as end:
            connections[end.getsockname()[1]] = connection
    hit, spared = (served_by(pid, balancer.port) for pid in before)
    assert hit | spared == set(connections) and hit
    os.kill(before[0], signal.SIGKILL)

    def replaced():
        now = balancer.worker_pids()
        return len(now) == len(before) and before[0] not in now and before[1] in now

    await_condition(replaced)
    failed = set()
    for port, connection in connections.items():
        try:
            connection.execute("SELECT 1")
        except psycopg.OperationalError:
            failed.add(port)
    assert failed == hit
    for _ in range(10):
        assert answers(balancer)
    assert "was killed by signal 9" in balancer.log_text()


def test_a_killed_health_process_is_replaced(make_balancer):
    balancer = make_balancer()

    def health():
        return [p for p in processes.children(balancer.pid) if "health" in processes.command_line(p)]

    (before,) = health()
    os.kill(before, signal.SIGKILL)
    await_condition(lambda: health() and health() != [before])
    assert answers(balancer)
    assert "up, primary" in balancer.command("status").stdout


# Health


def test_a_primary_that_goes_and_comes_back_is_noticed(session_directory):
    """The period is too long to be what notices: the closed connection is."""
    cluster = PostgresCluster(session_directory)
    balancer = PgBalancer(session_directory, cluster, health_check_period="1s")
    try:
        cluster.primary.stop(signal.SIGQUIT)
        await_condition(lambda: "node 0" in (status := balancer.command("status").stdout) and " down" in status)
        cluster.primary.start()
        await_condition(lambda: "up, primary" in balancer.command("status").stdout)
        await_condition(lambda: answers(balancer))
    finally:
        balancer.stop()
        cluster.stop()


def test_a_lost_connection_is_noticed_at_once(session_directory):
    cluster = PostgresCluster(session_directory)
    balancer = PgBalancer(session_directory, cluster, health_check_period="1h")
    try:
        cluster.primary.kill()
        await_condition(lambda: " down" in balancer.command("status").stdout)
    finally:
        balancer.stop()
        cluster.stop()


def test_a_standby_is_no_primary(session_directory):
    cluster = PostgresCluster(session_directory, standbys=1)
    primary, standby = cluster.servers
    balancer = PgBalancer(session_directory, backends=[(s.host, s.port) for s in (standby, primary)])
    try:
        status = balancer.command("status").stdout
        assert re.search(r"^node 0: .* up, standby$", status, re.MULTILINE)
        assert re.search(r"^node 1: .* up, primary$", status, re.MULTILINE)
        assert balancer.query("SELECT pg_is_in_recovery()", dbname="postgres") == [(False,)]
    finally:
        balancer.stop()
        cluster.stop()


def test_a_refused_login_is_not_a_dead_server(session_directory, cluster):
    """With one server there is nothing to choose from, so it serves although its role cannot be asked for."""
    balancer = PgBalancer(session_directory, cluster, health_check_user="no_such_role")
    try:
        assert "up, primary" in balancer.command("status").stdout
        assert answers(balancer)
    finally:
        balancer.stop()


# Reload and logs


def test_reload_says_what_changes(make_balancer):
    balancer = make_balancer()
    workers = balancer.worker_pids()
    balancer.write_conf(query_wait_timeout="7s", max_pool=3)
    assert balancer.command("reload").returncode == 0
    await_condition(lambda: "in force in every process" in balancer.log_text())
    log = balancer.log_text()
    assert re.search(r'query_wait_timeout changes from "2min" to "7s"$', log, re.MULTILINE)
    assert re.search(r"max_pool changes from \"8\" to \"3\" only with a restart", log)
    assert balancer.worker_pids() == workers
    assert answers(balancer)


def test_reload_of_a_broken_file_changes_nothing(make_balancer):
    balancer = make_balancer()
    balancer.write_conf(query_wait_timeout="7s", health_check_perod="1s", port="x")
    by_command = balancer.command("reload")
    balancer.reload()
    await_condition(lambda: "stays as it was" in balancer.log_text())
    for text in by_command.stderr, balancer.log_text():
        assert "health_check_perod" in text and "health_check_period" in text and "pgbalancer.conf:" in text
    assert by_command.returncode == 2
    assert "changes from" not in balancer.log_text()
    assert answers(balancer)


def test_log_file_is_reopened_by_every_process(prepare):
    balancer = prepare(log_destination="file", log_connections="on")
    log, rotated = balancer.directory / "pgbalancer.log", balancer.directory / "pgbalancer.log.1"
    balancer.write_conf(log_file=log)
    with daemon(balancer) as pid:
        balancer.connect(dbname="postgres").close()
        await_condition(lambda: re.search(r"worker \d", log.read_text()))
        log.rename(rotated)
        os.kill(pid, signal.SIGUSR1)
        await_condition(log.exists)

        def all_processes_write_to_the_new_file():
            balancer.connect(dbname="postgres").close()
            return {"worker 0", "worker 1"} <= set(re.findall(r"\] (worker \d) ", log.read_text()))

        await_condition(all_processes_write_to_the_new_file)
        size = rotated.stat().st_size
        balancer.connect(dbname="postgres").close()
        assert rotated.stat().st_size == size
        descriptors = [os.readlink(f"/proc/{p}/fd/{n}") for p in processes.children(pid) for n in os.listdir(f"/proc/{p}/fd")]
        assert str(log) in descriptors and str(rotated) not in descriptors


def test_a_daemons_standard_error_is_kept_in_work_dir(prepare):
    balancer = prepare()
    with daemon(balancer):
        assert "is serving on" in (balancer.directory / "pgbalancer.log").read_text()


# What surrounds it


def with_systemd():
    config = BUILD / "config.h"
    return not config.exists() or "#define HAVE_LIBSYSTEMD 1" in config.read_text()


@pytest.mark.skipif(not with_systemd(), reason="built without libsystemd")
def test_systemd_is_told(prepare):
    balancer = prepare()
    path = balancer.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(15)
        balancer._environment = os.environ | {"NOTIFY_SOCKET": str(path)}
        balancer.launch()
        ready = manager.recv(4096).decode()
        assert "READY=1" in ready and f"MAINPID={balancer.pid}\n" in ready and answers(balancer)
        balancer.reload()
        assert re.search(r"^RELOADING=1\nMONOTONIC_USEC=\d+$", manager.recv(4096).decode(), re.MULTILINE)
        assert "READY=1" in manager.recv(4096).decode()
        balancer.signal(signal.SIGTERM)
        assert "STOPPING=1" in manager.recv(4096).decode()
        assert balancer.wait() == 0


def test_too_few_descriptors_is_said_with_the_numbers(prepare):
    balancer = prepare(max_client_conn=5000)
    command = ["sh", "-c", 'ulimit -n 1000; exec "$@"', "sh", pgbalancer_binary(), "-n", "-f", balancer.conf_path]
    if os.geteuid() == 0:  # who may raise the limit does
        command = ["setpriv", "--bounding-set", "-sys_resource", *command]
    started = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=30)
    assert started.returncode == 2
    assert "5000" in started.stderr and "1000" in started.stderr
    assert left_files(balancer) == []


def test_children_hold_nothing_of_their_siblings(make_balancer):
    """A copy of another child's control channel would keep that child from seeing the supervisor's death."""
    balancer = make_balancer()

    def sockets(pid):
        return {os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}

    workers = balancer.worker_pids()
    os.kill(workers[0], signal.SIGKILL)  # its replacement is forked from a supervisor with more open
    await_condition(lambda: len(balancer.worker_pids()) == 2 and workers[0] not in balancer.worker_pids())
    await_condition(lambda: "workers: 2 of 2 ready" in balancer.command("status").stdout)
    listeners = set.intersection(*(sockets(p) for p in balancer.worker_pids()))
    for pid in balancer.worker_pids():
        links = {link for link in sockets(pid) - listeners if link.startswith("socket:")}
        others = set.union(*(sockets(p) for p in processes.children(balancer.pid) if p != pid))
        assert links and not links & others
        assert not any(link.endswith((".pid", ".lock")) for link in sockets(pid))


def test_check_reads_the_files_that_say_who_may_log_in(prepare, tmp_path):
    secrets = tmp_path / "pool_passwd"
    secrets.write_text("good:TEXTsecret\nbad:SCRAM-SHA-256$nonsense\n")
    secrets.chmod(0o600)
    rules = tmp_path / "pool_hba.conf"
    rules.write_text("local all all trust\nhost all all 127.0.0.1/32 guess\n")
    balancer = prepare(pool_passwd=str(secrets), enable_pool_hba="on", pool_hba_file=str(rules))
    done = balancer.command("check")
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert f"{secrets}:2:" in said and f"{rules}:2:" in said
    secrets.write_text("good:TEXTsecret\n")
    rules.write_text("local all all trust\n")
    assert balancer.command("check").returncode == 0
