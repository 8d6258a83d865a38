"""Every limit answers with PostgreSQL's SQLSTATE for it, in time, and hits nobody else."""

import time

import psycopg
import pytest

from support import frontend as fe
from support.fake_server import ScriptedServer
from support.raw_client import RawClient, connected
from support.waiting import await_condition

pytestmark = pytest.mark.pooler_only


def fatal(messages):
    """SQLSTATE of the FATAL error that ends these messages."""
    assert messages and messages[-1].kind == b"E" and messages[-1].fields["S"] == "FATAL", messages
    return messages[-1].sqlstate


def refused(balancer, dbname, user="app"):
    """SQLSTATE with which a login is refused, or None."""
    with RawClient(balancer) as client:
        messages = client.start(dbname, user)
        return None if messages[-1].kind == b"Z" else fatal(messages)


def sqlstates(messages):
    return [m.sqlstate for m in messages if m.kind == b"E"]


# Numbers of clients


def test_max_client_conn(make_balancer, dbname):
    balancer = make_balancer(num_init_children=2, max_client_conn=5)
    await_condition(lambda: refused(balancer, dbname) is None)
    clients = [connected(balancer, dbname) for _ in range(5)]
    assert refused(balancer, dbname) == "53300"
    assert [client.value("SELECT 1") for client in clients] == ["1"] * 5
    clients.pop().terminate()
    await_condition(lambda: refused(balancer, dbname) is None, what="a place is free again")
    for client in clients:
        client.close()
    await_condition(lambda: refused(balancer, dbname) is None)
    again = []
    for _ in range(5):
        again.append(await_condition(lambda: connected(balancer, dbname)))
    for client in again:
        client.close()


@pytest.mark.parametrize("setting", ["max_user_client_connections", "max_db_client_connections"])
def test_limit_per_user_and_database(make_balancer, dbname, setting):
    balancer = make_balancer(num_init_children=2, **{setting: 3})
    clients = [connected(balancer, dbname) for _ in range(3)]
    assert refused(balancer, dbname) == "53300"
    other = ("postgres", "app") if setting == "max_db_client_connections" else (dbname, "other")
    assert refused(balancer, *other) is None
    clients.pop().terminate()
    await_condition(lambda: refused(balancer, dbname) is None)
    for client in clients:
        client.close()


def test_clients_that_fail_to_log_in_give_their_place_back(make_balancer, dbname):
    balancer = make_balancer(num_init_children=1, max_client_conn=3)
    for _ in range(30):
        assert refused(balancer, "no_such_database") in ("3D000", "53300")
        with RawClient(balancer) as client:
            client.send(b"\0\0")
    await_condition(lambda: refused(balancer, dbname) is None)


# Waiting for a server connection


def test_query_wait_timeout(make_balancer, dbname):
    balancer = make_balancer(num_init_children=1, max_pool=1, query_wait_timeout="1s")
    with connected(balancer, dbname) as holder, connected(balancer, dbname) as waiter:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        began = time.monotonic()
        waiter.send(fe.query("SELECT 'never'"))
        messages = waiter.receive_until(b"E")
        assert 0.9 <= time.monotonic() - began < 4
        # The same class of error as "too many connections": there is no room on the server.
        assert messages[-1].sqlstate == "53300"
        assert holder.value("SELECT 2") == "2"
        holder.query("COMMIT")


def test_waiters_are_served_first_come_first_served(make_balancer, dbname):
    balancer = make_balancer(num_init_children=1, max_pool=1)
    holder = connected(balancer, dbname)
    waiters = [connected(balancer, dbname) for _ in range(6)]
    holder.query("BEGIN")
    holder.query("CREATE TABLE served (number serial, who int)")
    holder.query("COMMIT")
    holder.query("BEGIN")
    holder.query("SELECT 1")
    for i, waiter in enumerate(waiters):
        waiter.send(fe.query(f"INSERT INTO served (who) VALUES ({i})"))
        assert waiter.is_silent(0.05)
    holder.query("COMMIT")
    # Nor may one who comes when the connection has just become free go before those who wait.
    holder.query("INSERT INTO served (who) VALUES (99)")
    for waiter in waiters:
        waiter.receive_ready()
    order = [int(row[0]) for row in holder.rows("SELECT who FROM served ORDER BY number")]
    assert order == [0, 1, 2, 3, 4, 5, 99]
    for client in (holder, *waiters):
        client.close()


def test_a_client_that_never_stops_sending_starves_nobody(make_balancer, dbname):
    """Its next query is there before the last is answered: the server connection goes to who waits all the same."""
    balancer = make_balancer(num_init_children=1, max_pool=1)
    with connected(balancer, dbname) as greedy, connected(balancer, dbname) as modest:
        greedy.send(fe.query("SELECT pg_sleep(0.1)") * 3)
        modest.send(fe.query("SELECT 'served'"))
        answers = 0
        while modest.is_silent(0.001):
            greedy.receive_ready()
            greedy.send(fe.query("SELECT pg_sleep(0.05)"))
            answers += 1
            assert answers < 50, "the other client waits for ever"
        assert modest.receive_ready()[1].values == [b"served"]


def test_idle_connections_of_other_pairs_give_way(make_balancer, cluster):
    """More (database, user) pairs than server connections: none may starve another."""
    balancer = make_balancer(num_init_children=1, max_pool=2)
    with cluster.database("pair1"), cluster.database("pair2"), cluster.database("pair3"):
        pairs = [(f"pair{i}", user) for i in (1, 2, 3) for user in ("app", "postgres")]
        clients = [connected(balancer, *pair) for pair in pairs]
        for turn in range(3):
            for client, (dbname, user) in zip(clients, pairs):
                row = client.rows("SELECT current_database(), current_user")[0]
                assert row == [dbname.encode(), user.encode()]
        used = "SELECT count(*) <= 2 FROM pg_stat_activity WHERE datname LIKE 'pair%'"
        await_condition(lambda: cluster.primary.scalar(used), what="no more than max_pool server connections")
        for client in clients:
            client.close()
        balancer.stop()


# Idle clients


def test_busy_pools_do_not_take_each_others_connections_all_the_time(make_balancer, cluster):
    """A connection costs the server a process: what is saved by pooling must not be spent on fairness."""
    balancer = make_balancer(num_init_children=1, max_pool=3)
    with cluster.database("busy") as busy, cluster.database("busier") as busier:
        clients = [connected(balancer, dbname) for dbname in (busy, busier) for _ in range(10)]
        for _ in range(100):
            for client in clients:
                client.send(fe.query("SELECT 1"))
            for client in clients:
                client.receive_ready()
        for client in clients:
            client.close()
        balancer.stop()
        # A server process counts itself when it ends, at the latest.
        ended = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname IN (%s, %s)"
        await_condition(lambda: cluster.primary.scalar(ended, [busy, busier]))
        made = "SELECT sum(sessions)::int FROM pg_stat_database WHERE datname IN (%s, %s)"
        assert 3 <= cluster.primary.scalar(made, [busy, busier]) <= 10


def test_client_idle_limit(make_balancer, dbname):
    balancer = make_balancer(client_idle_limit="1s")
    with connected(balancer, dbname) as idle, connected(balancer, dbname) as busy:
        began = time.monotonic()
        busy.send(fe.query("SELECT pg_sleep(3)"))
        assert fatal(idle.receive_to_end()) == "57P05"
        assert 0.9 <= time.monotonic() - began < 4
        assert sqlstates(busy.receive_ready()) == [], "a session that waits for its query is not idle"


def test_client_idle_limit_spares_transactions(make_balancer, dbname):
    balancer = make_balancer(client_idle_limit="1s")
    with connected(balancer, dbname) as client:
        client.query("BEGIN")
        client.query("SELECT 1")
        assert client.is_silent(2.5)
        assert client.value("SELECT 1") == "1"


@pytest.mark.parametrize("first", ["SELECT 1", ""], ids=["open", "deferred"])
def test_idle_transaction_timeout(make_balancer, dbname, first):
    balancer = make_balancer(num_init_children=1, max_pool=1, idle_transaction_timeout="1s")
    with connected(balancer, dbname) as idle, connected(balancer, dbname) as other:
        idle.query("BEGIN")
        if first:
            idle.query(first)
        other.send(fe.query("SELECT 'served'"))
        assert fatal(idle.receive_to_end()) == "25P03"
        assert [m.values for m in other.receive_ready() if m.kind == b"D"] == [[b"served"]]


def test_authentication_timeout(make_balancer, dbname):
    balancer = make_balancer(authentication_timeout="1s", client_auth_method="scram-sha-256", secrets=["app:TEXTapp-secret"])
    silent = RawClient(balancer)
    half = RawClient(balancer)
    half.send(fe.startup({"user": "app", "database": dbname})[:9])
    asked = RawClient(balancer)
    asked.send(fe.startup({"user": "app", "database": dbname}))
    assert asked.receive().kind == b"R"
    began = time.monotonic()
    for client in (silent, half, asked):
        messages = client.receive_to_end()
        assert sqlstates(messages) in ([], ["08006"], ["57P05"], ["08P01"], ["28000"])
        client.close()
    assert time.monotonic() - began < 5


# Server connections


def test_connection_life_time(make_balancer, cluster, dbname):
    balancer = make_balancer(num_init_children=1, max_pool=2, connection_life_time="1s")
    with connected(balancer, dbname) as client:
        first = client.value("SELECT pg_backend_pid()")
        gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = %s"
        await_condition(lambda: cluster.primary.scalar(gone, [int(first)]), 6)
        assert client.value("SELECT 1") == "1"


def test_connect_timeout(make_balancer, cluster, dbname):
    """A server that accepts and then says nothing."""
    with ScriptedServer(cluster.primary, lambda connection, parameters: connection.recv(1)) as server:
        balancer = make_balancer(backends=[(server.host, server.port)], connect_timeout="1s", query_wait_timeout="3s")
        began = time.monotonic()
        with RawClient(balancer) as client:
            messages = client.start(dbname)
            if messages[-1].kind == b"Z":
                client.send(fe.query("SELECT 1"))
                messages = client.receive_until(b"E")
            assert messages[-1].sqlstate[:2] in ("08", "57", "53")
        assert time.monotonic() - began < 6


def test_database_and_role_errors_are_the_servers_own(make_balancer, cluster):
    balancer = make_balancer()
    for parameters in ({"dbname": "no_such_database"}, {"dbname": "postgres", "user": "no_such_role"}):
        texts = []
        for server in (cluster.primary, balancer):
            with pytest.raises(psycopg.OperationalError) as failure:
                server.connect(**{"user": "app"} | parameters)
            texts.append(str(failure.value).split("FATAL:", 1)[1].strip())
        assert texts[0] == texts[1]


def test_servers_own_connection_limit(make_balancer, cluster, dbname):
    """The server refuses more connections than we may open: who waits is served by those there are."""
    cluster.primary.query(f"ALTER DATABASE {dbname} CONNECTION LIMIT 2")
    balancer = make_balancer(num_init_children=1, max_pool=8)
    clients = [connected(balancer, dbname) for _ in range(6)]
    for client in clients:
        client.send(fe.query("SELECT pg_sleep(0.1)"))
    outcomes = [sqlstates(client.receive_until(b"Z", b"E")) for client in clients]
    assert all(outcome in ([], ["53300"]) for outcome in outcomes) and [] in outcomes
    for client in clients:
        client.close()
