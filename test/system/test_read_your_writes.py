"""What a session has written it reads, wherever its reads go; and they go back to the standbys soon after."""

import itertools
import threading
import time

import pytest

from support import frontend as fe
from support.balancer import PgBalancer
from support.postgres import PostgresCluster
from support.raw_client import connected
from support.routes import Routes, tag
from support.waiting import await_condition

pytestmark = pytest.mark.pooler_only

PERIOD_MS = 100
DELAY = 1.0
SETTINGS = {"num_init_children": 1, "backend_weight0": 0, "sr_check_period": f"{PERIOD_MS}ms"}
COUNT = "SELECT count(*) FROM written WHERE n = "

_number = itertools.count(1)


def make_cluster(session_directory, **settings):
    cluster = PostgresCluster(session_directory, standbys=2, log_statement="all", **settings)
    cluster.primary.query("CREATE DATABASE routing OWNER app")
    cluster.primary.query("CREATE TABLE written (n int)", dbname="routing", user="app")
    cluster.await_replay()
    return cluster


@pytest.fixture(scope="module")
def trio(session_directory):
    """A primary, and two standbys of which the second replays late."""
    cluster = make_cluster(session_directory)
    cluster.standbys[1].set(recovery_min_apply_delay=f"{DELAY}s")
    cluster.standbys[1].reload()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def routes(trio):
    return Routes(trio)


@pytest.fixture(scope="module")
def balanced(trio, routes, session_directory):
    made = {}

    def make(**settings):
        key = tuple(sorted(settings.items()))
        if key not in made:
            made[key] = PgBalancer(session_directory, trio, **SETTINGS | settings)
        routes.await_standby_reads(made[key], f"{COUNT} 0", dbname="routing")
        return made[key]

    yield make
    for balancer in made.values():
        balancer.stop()


def seen(client, number, word="") -> bool:
    return client.value(f"{COUNT} {number} /* {word} */") == "1"


def await_return(client, routes, deadline=10.0) -> float:
    """Seconds until the session reads from a standby again."""
    start = time.monotonic()

    def on_standby():
        word = tag()
        client.query(f"{COUNT} 0 /* {word} */")
        return routes.nodes(word) != [0]

    await_condition(on_standby, deadline, "reads return to a standby")
    return time.monotonic() - start


def write_alone(client, number):
    client.query(f"INSERT INTO written VALUES ({number})")


def write_in_a_transaction(client, number):
    client.query("BEGIN")
    client.query(f"INSERT INTO written VALUES ({number})")
    client.query("COMMIT")


def write_in_a_batch(client, number):
    client.ask(fe.extended("INSERT INTO written VALUES ($1::int)", [str(number).encode()]), fe.sync())


def write_in_a_block(client, number):
    client.query(f"DO 'BEGIN INSERT INTO written VALUES ({number}); END'")


def write_without_waiting(client, number):
    client.query(f"BEGIN; SET LOCAL synchronous_commit = off; INSERT INTO written VALUES ({number}); COMMIT")


WRITES = [write_alone, write_in_a_transaction, write_in_a_batch, write_in_a_block, write_without_waiting]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("weights", [(1, 1), (0, 1)], ids=["both", "late"])
def test_own_writes_are_read(balanced, write, weights):
    balancer = balanced(backend_weight1=weights[0], backend_weight2=weights[1])
    for _ in range(5):
        with connected(balancer, "routing") as client:
            for _ in range(10):
                number = next(_number)
                write(client, number)
                assert seen(client, number)


def test_again_and_again_while_standbys_catch_up(balanced, routes):
    balancer = balanced(statement_level_load_balance="on")
    word = tag()
    with connected(balancer, "routing") as client:
        for _ in range(6):
            number = next(_number)
            write_alone(client, number)
            end = time.monotonic() + 2.5 * PERIOD_MS / 1000
            while time.monotonic() < end:
                assert seen(client, number, word)
    counts = routes.counts(word)
    assert counts[0] > 0 and counts[1] > 0, counts


def test_log_switches(balanced, trio, routes):
    balancer = balanced()
    with connected(balancer, "routing") as client:
        for _ in range(3):
            number = next(_number)
            write_without_waiting(client, number)
            trio.primary.query("SELECT pg_switch_wal()")
            assert seen(client, number)
            await_return(client, routes)
            assert seen(client, number)


def test_reads_return_soon(balanced, routes):
    balancer = balanced(backend_weight2=0)
    with connected(balancer, "routing") as client:
        taken = []
        for _ in range(10):
            write_alone(client, next(_number))
            taken.append(await_return(client, routes))
    assert sorted(taken)[5] < 10 * PERIOD_MS / 1000, taken


def test_a_rolled_back_transaction_and_a_failed_statement(balanced):
    with connected(balanced(), "routing") as client:
        number = next(_number)
        client.query("BEGIN")
        client.query(f"INSERT INTO written VALUES ({number})")
        assert seen(client, number)
        client.query("ROLLBACK")
        assert not seen(client, number)
        client.query(f"INSERT INTO written VALUES ({number} / 0)")
        assert not seen(client, number)


def test_other_sessions_need_not_wait(balanced, routes):
    balancer = balanced()
    with connected(balancer, "routing") as writer, connected(balancer, "routing") as reader:
        word = tag()
        write_alone(writer, next(_number))
        reader.query(f"{COUNT} 0 /* {word} */")
        assert routes.nodes(word) != [0]


def test_global(balanced, routes):
    """Whatever any session was told is done, every session reads."""
    balancer = balanced(read_your_writes="global", num_init_children=2, backend_weight1=0)
    readers = [connected(balancer, "routing") for _ in range(4)]
    try:
        with connected(balancer, "routing") as writer:
            for write in WRITES:
                for _ in range(3):
                    number = next(_number)
                    write(writer, number)
                    assert [seen(reader, number) for reader in readers] == [True] * 4
        await_return(readers[0], routes)
    finally:
        for reader in readers:
            reader.close()


def test_global_while_others_write(balanced):
    balancer = balanced(read_your_writes="global")
    done = threading.Event()
    written = [0]

    def keep_writing():
        with connected(balancer, "routing") as client:
            while not done.is_set():
                number = next(_number)
                write_alone(client, number)
                written[0] = number

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        await_condition(lambda: written[0])
        with connected(balancer, "routing") as reader:
            for _ in range(200):
                number = written[0]
                assert seen(reader, number)
    finally:
        done.set()
        writer.join()


def test_off(balanced, routes):
    balancer = balanced(read_your_writes="off")
    with connected(balancer, "routing") as client:
        word = tag()
        write_alone(client, next(_number))
        client.query(f"{COUNT} 0 /* {word} */")
        assert routes.nodes(word) != [0]


@pytest.mark.long  # what is changed past pgbalancer is not noticed in time now and then
def test_a_session_does_not_read_backwards(balanced, trio, routes):
    """From a standby that is up to date to one that is late, time would run backwards."""
    balancer = balanced(statement_level_load_balance="on")
    with trio.primary.connect(dbname="routing") as writer:
        writer.execute("CREATE TABLE clock AS SELECT 0 AS n; GRANT ALL ON clock TO app")
        trio.await_replay()

        def late_standby_is_behind():
            writer.execute("UPDATE clock SET n = n + 1")
            return float(balancer.show("POOL_NODES")[2]["staleness_seconds"]) > DELAY / 2

        await_condition(late_standby_is_behind)
        routes.await_standby_reads(balancer, f"{COUNT} 0", dbname="routing")
        last, sessions = 0, 0
        end = time.monotonic() + 2 * DELAY
        while time.monotonic() < end:
            sessions += 1
            with connected(balancer, "routing") as client:
                last = 0
                for _ in range(20):
                    writer.execute("UPDATE clock SET n = n + 1")
                    value = int(client.value("SELECT max(n) FROM clock"))
                    assert value >= last
                    last = value
        assert sessions > 3
        writer.execute("DROP TABLE clock")


def test_nor_backwards_when_all_were_equal(balanced, trio):
    """While nothing happens the late standby is as good as the other. The first change makes a difference."""
    balancer = balanced(statement_level_load_balance="on")
    with connected(balancer, "routing") as writer:
        writer.query("CREATE TABLE IF NOT EXISTS steps AS SELECT 0 AS n")
        nodes = set()
        for _ in range(4):
            trio.await_replay()
            now = time.monotonic()
            await_condition(lambda: all(float(node["staleness_seconds"]) < time.monotonic() - now
                                        for node in balancer.show("POOL_NODES")[1:]))
            with connected(balancer, "routing") as reader:
                await_condition(lambda: not [m for m in reader.query("SELECT n FROM steps") if m.kind == b"E"])
                last = 0
                for step in range(60):
                    if step == 20:
                        writer.send(fe.query("UPDATE steps SET n = n + 1"))
                    value = int(reader.value("SELECT n FROM steps"))
                    assert value >= last
                    last = value
                nodes.add(last)
            writer.receive_ready()
        assert len(nodes) > 1


def test_through_a_promotion(session_directory):
    cluster = make_cluster(session_directory)
    routes = Routes(cluster)
    balancer = PgBalancer(session_directory, cluster, **SETTINGS | {"backend_weight2": 0})
    try:
        routes.await_standby_reads(balancer, f"{COUNT} 0", dbname="routing")
        with connected(balancer, "routing") as client:
            number = next(_number)
            write_alone(client, number)
            cluster.await_replay()
            cluster.primary.kill()
            cluster.standbys[0].query("SELECT pg_promote()")
            await_condition(lambda: balancer.show("POOL_NODES")[1]["role"] == "primary", 20, "the promotion is noticed")
            assert seen(client, number)
            number = next(_number)
            word = tag()
            write_alone(client, number)
            assert seen(client, number, word)
            assert routes.nodes(word) == [1]
            # The other standby still follows nobody: nothing of it may be shown.
            for _ in range(20):
                number = next(_number)
                write_alone(client, number)
                assert seen(client, number)
    finally:
        balancer.stop()
        cluster.stop()
