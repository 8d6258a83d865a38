"""Cancel requests: they reach their query from any worker, however busy everything is, and never another session's."""

import random
import socket
import threading
import time

import psycopg
import pytest

from support import frontend as fe
from support.raw_client import RawClient, cancel, connected
from support.waiting import await_condition

SLEEP = "SELECT pg_sleep(30)"


def running(cluster, dbname):
    """How many statements that sleep are being executed in this database."""
    return cluster.primary.scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'active' AND query LIKE '%%pg_sleep%%'", [dbname]
    )


def sqlstates(messages):
    return [m.sqlstate for m in messages if m.kind == b"E"]


def test_cancel_ends_the_query_and_the_session_goes_on(target, cluster, dbname):
    with connected(target, dbname) as client:
        client.send(fe.query(SLEEP))
        await_condition(lambda: running(cluster, dbname) == 1)
        cancel(target, client.key)
        assert sqlstates(client.receive_ready()) == ["57014"]
        assert client.value("SELECT 1") == "1"


def test_cancel_in_a_transaction_leaves_it_failed(target, cluster, dbname):
    with connected(target, dbname) as client:
        client.query("BEGIN")
        client.send(fe.query(SLEEP))
        await_condition(lambda: running(cluster, dbname) == 1)
        cancel(target, client.key)
        assert client.receive_ready()[-1].status == "E"
        assert sqlstates(client.query("SELECT 1")) == ["25P02"]
        client.query("ROLLBACK")


def test_cancel_by_psycopg(target, cluster, dbname):
    with target.connect(dbname=dbname) as connection:
        timer = threading.Thread(
            target=lambda: (await_condition(lambda: running(cluster, dbname) == 1), connection.cancel())
        )
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(SLEEP)
        timer.join()


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_cancel_of_an_idle_session_does_nothing(make_balancer, dbname, mode):
    """With one worker: on its way to another's session a request may be overtaken by what that client sends next."""
    target = make_balancer(num_init_children=1, pool_mode=mode)
    with connected(target, dbname) as client, connected(target, dbname) as other:
        for _ in range(20):
            cancel(target, client.key)
            assert client.value("SELECT 1") == "1"
            assert other.value("SELECT 2") == "2"


def test_wrong_keys_do_nothing(target, cluster, dbname):
    with connected(target, dbname) as client:
        client.send(fe.query("SELECT pg_sleep(0.5)"))
        await_condition(lambda: running(cluster, dbname) == 1)
        pid, secret = client.key
        for key in ((pid, bytes(b ^ 1 for b in secret)), (pid + 1, secret), (0, secret), (pid, b"\0\0\0\0")):
            cancel(target, key)
        assert sqlstates(client.receive_ready()) == []


def test_keys_of_ended_sessions_do_nothing(target, cluster, dbname):
    with connected(target, dbname) as client:
        old = client.key
    with connected(target, dbname) as client:
        client.send(fe.query("SELECT pg_sleep(0.3)"))
        await_condition(lambda: running(cluster, dbname) == 1)
        cancel(target, old)
        assert sqlstates(client.receive_ready()) == []


@pytest.mark.parametrize("packet", [b"", b"\0\0\0\x0c", b"\0\0\0\x0c\x04\xd2\x16\x2e", fe.cancel_request(1, b"12345"),
                                    fe.cancel_request(1, b""), fe.cancel_request(1, b"x" * 5000)])  # fmt: skip
def test_malformed_cancel_requests(target, packet):
    with RawClient(target) as client:
        client.send(packet)
        client.socket.shutdown(socket.SHUT_WR)  # the rest is not coming
        assert b"Z" not in [m.kind for m in client.receive_to_end()]
    with connected(target) as client:
        assert client.value("SELECT 1") == "1"


@pytest.mark.pooler_only
def test_cancel_when_every_server_connection_is_busy(make_balancer, cluster, dbname):
    balancer = make_balancer(num_init_children=2, max_pool=1, max_client_conn=8)
    sleepers = [connected(balancer, dbname) for _ in range(8)]  # as many as are allowed in: the request itself is one more
    try:
        for client in sleepers:
            client.send(fe.query(SLEEP))
        await_condition(lambda: running(cluster, dbname) == 2)
        # From the last to the first: those that wait for a server connection as well as those that have one.
        for client in reversed(sleepers):
            cancel(balancer, client.key)
            assert sqlstates(client.receive_ready()) == ["57014"]
        for client in sleepers:
            assert client.value("SELECT 1") == "1"
    finally:
        for client in sleepers:
            client.close()


@pytest.mark.pooler_only
def test_a_session_that_waits_is_cancelled_here(make_balancer, cluster, dbname):
    """Its statement must not run later; in a transaction, the transaction has failed; in a pipeline, the rest is skipped."""
    balancer = make_balancer(num_init_children=1, max_pool=1)
    cluster.primary.query("CREATE TABLE items (id int)", dbname=dbname, user="app")
    with connected(balancer, dbname) as holder, connected(balancer, dbname) as waiter:
        holder.query("BEGIN")
        holder.query("SELECT 1")

        def cancelled(*parts):
            waiter.send(*parts)
            assert waiter.is_silent(0.1)
            cancel(balancer, waiter.key)
            return waiter.receive_ready()

        messages = cancelled(fe.query("INSERT INTO items VALUES (1)"))
        assert sqlstates(messages) == ["57014"] and messages[-1].status == "I"
        messages = cancelled(fe.extended("INSERT INTO items VALUES (2)"), fe.extended("SELECT 1"), fe.sync())
        assert sqlstates(messages) == ["57014"] and messages[-1].status == "I"
        waiter.query("BEGIN")
        messages = cancelled(fe.query("INSERT INTO items VALUES (3)"))
        assert sqlstates(messages) == ["57014"] and messages[-1].status == "E"
        assert sqlstates(waiter.query("SELECT 1")) == ["25P02"]
        assert [m.tag for m in waiter.query("COMMIT") if m.kind == b"C"] == ["ROLLBACK"]
        holder.query("COMMIT")
        assert waiter.value("SELECT count(*) FROM items") == "0"


def test_cancel_during_copy(target, cluster, dbname):
    cluster.primary.query("CREATE TABLE items (id int)", dbname=dbname, user="app")
    with connected(target, dbname) as client:
        client.send(fe.query("COPY (SELECT repeat('x', 9000), pg_sleep(0.01) FROM generate_series(1, 10000)) TO STDOUT"))
        client.receive_until(b"d")
        cancel(target, client.key)
        assert sqlstates(client.receive_ready()) == ["57014"]
        client.send(fe.query("COPY items FROM STDIN"))
        client.receive_until(b"G")
        client.send(fe.copy_data(b"1\n"))
        cancel(target, client.key)
        # The server looks up from reading at the next row only.
        await_condition(lambda: client.send(fe.copy_data(b"2\n")) or not client.is_silent(0.01))
        assert sqlstates(client.receive_until(b"E")) == ["57014"]
        client.receive_ready()
        assert client.value("SELECT count(*) FROM items") == "0"


class _Session(threading.Thread):
    """Runs short statements that nobody may cancel, or long ones that the cancelling thread is told of."""

    def __init__(self, target, dbname, victim, stop):
        super().__init__()
        self.client = connected(target, dbname, timeout=30)
        self.victim = victim
        self.stop = stop
        self.cancelled = 0
        self.done = 0
        self.problem = None

    def run(self):
        try:
            while not self.stop.is_set():
                if self.victim:
                    messages = self.client.query("SELECT pg_sleep(0.02), 'mine'")
                else:
                    messages = self.client.query("SELECT pg_sleep(0.001), 'mine'")
                errors = sqlstates(messages)
                if errors == ["57014"] and self.victim:
                    self.cancelled += 1
                elif errors:
                    raise AssertionError(f"another session's cancel hit: {messages}")
                self.done += 1
        except Exception as error:  # shown by the test
            self.problem = error


def _stress(balancer, dbname, seconds):
    stop = threading.Event()
    victims = [_Session(balancer, dbname, True, stop) for _ in range(4)]
    bystanders = [_Session(balancer, dbname, False, stop) for _ in range(8)]
    sessions = victims + bystanders
    for session in sessions:
        session.start()
    end = time.monotonic() + seconds
    dice = random.Random(1)
    while time.monotonic() < end and not any(s.problem for s in sessions):
        cancel(balancer, dice.choice(victims).client.key)
        time.sleep(dice.random() * 0.01)
    stop.set()
    for session in sessions:
        session.join()
        session.client.close()
    assert [s.problem for s in sessions if s.problem] == []
    assert sum(s.cancelled for s in victims) > 0, "no cancel request hit anything"
    assert all(s.done > 0 for s in sessions)


def test_cancels_never_hit_another_session(make_balancer, dbname):
    _stress(make_balancer(num_init_children=2, max_pool=2), dbname, 5)


@pytest.mark.long
def test_cancels_never_hit_another_session_for_long(make_balancer, dbname):
    _stress(make_balancer(num_init_children=2, max_pool=1), dbname, 60)


@pytest.mark.pooler_only
def test_cancel_request_to_the_unix_socket(balancer, cluster, dbname):
    path = str(balancer.socket_directory / f".s.PGSQL.{balancer.port}")
    client = RawClient(path)
    assert client.start(dbname)[-1].kind == b"Z"
    client.send(fe.query(SLEEP))
    await_condition(lambda: running(cluster, dbname) == 1)
    with RawClient(path) as courier:
        courier.send(fe.cancel_request(*client.key))
        courier.receive_to_end()
    assert sqlstates(client.receive_ready()) == ["57014"]
    client.close()
