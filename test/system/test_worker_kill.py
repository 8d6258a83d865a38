"""Workers killed under load: only their own clients see an error, the books balance, nothing leaks."""

import os
import random
import signal
import subprocess
import threading
import time

import psycopg
import pytest

from support import processes
from support.paths import postgres_program
from support.raw_client import ConnectionClosed, connected
from support.waiting import await_condition

pytestmark = pytest.mark.pooler_only


class Writer(threading.Thread):
    """Moves money between accounts, each transaction with a number of its own; reconnects after an error and classifies it."""

    def __init__(self, balancer, dbname, number, stop):
        super().__init__()
        self._connect = lambda: balancer.connect(dbname=dbname, prepare_threshold=number % 2 or None)
        self._number = number
        self._ended = stop
        self.committed = []
        self.unknown = []  # the connection was lost during COMMIT
        self.lost = 0
        self.problems = []

    def run(self):
        connection = None
        dice = random.Random(self._number)
        turn = 0
        while not self._ended.is_set():
            turn += 1
            key = self._number * 1_000_000 + turn
            committing = False
            try:
                if connection is None:
                    connection = self._connect()
                amount = dice.randrange(1, 100)
                connection.execute("BEGIN")
                connection.execute("UPDATE money SET amount = amount - %s WHERE id = %s", [amount, self._number])
                connection.execute("UPDATE money SET amount = amount + %s WHERE id = 0", [amount])
                connection.execute("INSERT INTO journal VALUES (%s, %s)", [key, amount])
                committing = True
                connection.execute("COMMIT")
                self.committed.append(key)
            except psycopg.OperationalError as error:
                # A session ends with its worker. With nothing but the end of the connection: nobody is left to say more.
                self.lost += 1
                if error.sqlstate not in (None, "57P01", "08006", "40001", "53300"):
                    self.problems.append(error)
                if committing:
                    self.unknown.append(key)
                if connection is not None:
                    connection.close()
                connection = None
            except Exception as error:  # shown by the test
                self.problems.append(error)
                return
        if connection is not None:
            connection.close()


def _kill_workers(make_balancer, cluster, dbname, seconds, every):
    balancer = make_balancer(num_init_children=2, max_pool=6, max_client_conn=200)
    cluster.primary.query(
        "CREATE TABLE money AS SELECT i AS id, 0::bigint AS amount FROM generate_series(0, 20) i;"
        "CREATE UNIQUE INDEX ON money (id); CREATE TABLE journal (key bigint PRIMARY KEY, amount int)",
        dbname=dbname, user="app",
    )  # fmt: skip

    def pgbench(server, *arguments):
        return [postgres_program("pgbench"), "-h", server.host, "-p", str(server.port), "-U", "app", *arguments, dbname]

    subprocess.run(pgbench(cluster.primary, "-i", "-q"), check=True, capture_output=True, timeout=60)
    supervisor_descriptors = processes.open_descriptors(balancer.pid)
    stop = threading.Event()
    writers = [Writer(balancer, dbname, number, stop) for number in range(1, 9)]
    for writer in writers:
        writer.start()
    # pgbench gives up a client whose connection is lost; it is started again and again beside the writers.
    benches = []
    end = time.monotonic() + seconds
    kills = 0
    dice = random.Random(7)
    while time.monotonic() < end:
        benches = [process for process in benches if process.poll() is None]
        while len(benches) < 2:
            argv = pgbench(balancer, "-n", "-c", "4", "-T", str(every))
            benches.append(processes.spawn(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        time.sleep(every)
        workers = balancer.worker_pids()
        assert workers, "no worker left"
        victim = dice.choice(workers)
        os.kill(victim, signal.SIGKILL)
        kills += 1
        await_condition(lambda: len(balancer.worker_pids()) == 2 and victim not in balancer.worker_pids(), 15, "replaced")
    stop.set()
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive(), "a writer hangs"
    for process in benches:
        process.wait(30)
    assert [problem for writer in writers for problem in writer.problems] == []
    assert all(writer.committed for writer in writers)
    # Each kill ends the sessions of one worker of two, and no others: about half of them, never nearly all.
    lost = sum(writer.lost for writer in writers)
    assert 0 < lost <= kills * len(writers)

    rows = cluster.primary.query("SELECT key FROM journal", dbname=dbname)
    found = {row[0] for row in rows}
    committed = {key for writer in writers for key in writer.committed}
    unknown = {key for writer in writers for key in writer.unknown}
    assert committed <= found, "an acknowledged commit is gone"
    assert found <= committed | unknown, "something was committed that nobody committed"
    assert cluster.primary.scalar("SELECT sum(amount) FROM money", dbname=dbname) == 0
    sums = cluster.primary.query(
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches),"
        " (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)",
        dbname=dbname,
    )[0]
    assert len(set(sums)) == 1, sums

    # Nothing leaks: descriptors of the supervisor, server connections of dead workers, slots that say otherwise.
    await_condition(lambda: processes.open_descriptors(balancer.pid) <= supervisor_descriptors, what="descriptors")
    used = "SELECT count(*) <= 12 FROM pg_stat_activity WHERE datname = %s"
    await_condition(lambda: cluster.primary.scalar(used, [dbname]), 20, "server connections of dead workers are closed")
    # Connections that the server has not yet seen closed, or that open just now, are counted by one side only: not for
    # long.
    def shown_and_real():
        shown = sum(row["database"] == dbname for row in balancer.show("POOL_PROCESSES"))
        real = cluster.primary.scalar("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [dbname])
        return shown == real

    await_condition(shown_and_real, 20, "SHOW POOL_PROCESSES tells of the server connections there are")
    with connected(balancer, dbname) as client:
        assert client.value("SELECT 1") == "1"
    return kills


@pytest.mark.timeout(180)
def test_workers_killed_under_load(make_balancer, cluster, dbname):
    assert _kill_workers(make_balancer, cluster, dbname, seconds=8, every=1) >= 4


@pytest.mark.long
@pytest.mark.timeout(900)
def test_workers_killed_for_ten_minutes(make_balancer, cluster, dbname):
    assert _kill_workers(make_balancer, cluster, dbname, seconds=600, every=5) >= 100


def test_only_the_dead_workers_clients_notice(make_balancer, cluster, dbname):
    balancer = make_balancer(num_init_children=2, max_pool=4)
    clients = [connected(balancer, dbname) for _ in range(20)]
    for client in clients:
        client.query("SELECT 1")
    os.kill(balancer.worker_pids()[0], signal.SIGKILL)
    alive = []
    for client in clients:
        try:
            alive.append(client.value("SELECT 2") == "2")
        except (OSError, ConnectionClosed):
            alive.append(False)
    assert 0 < sum(alive) < len(clients), "both workers had clients, and only one of them died"
    await_condition(lambda: len(balancer.worker_pids()) == 2)
    with connected(balancer, dbname) as client:
        assert client.value("SELECT 3") == "3"
    for client in clients:
        client.close()


def test_server_of_a_dead_workers_transaction_rolls_back(make_balancer, cluster, dbname):
    balancer = make_balancer(num_init_children=1, max_pool=2)
    cluster.primary.query("CREATE TABLE items (id int)", dbname=dbname, user="app")
    client = connected(balancer, dbname)
    client.query("BEGIN")
    client.query("INSERT INTO items VALUES (1)")
    os.kill(balancer.worker_pids()[0], signal.SIGKILL)
    assert client.receive_to_end() == []
    client.close()
    gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = %s AND state = 'idle in transaction'"
    await_condition(lambda: cluster.primary.scalar(gone, [dbname]))
    assert balancer.query("SELECT count(*) FROM items", dbname=dbname) == [(0,)]
