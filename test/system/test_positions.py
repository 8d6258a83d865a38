"""Replication positions: what SHOW POOL_NODES says of standbys must be true, above all how fresh they are."""

import os
import signal
import time
from contextlib import contextmanager

import pytest

from support import processes
from support.balancer import PgBalancer
from support.postgres import PostgresCluster
from support.waiting import await_condition

pytestmark = pytest.mark.pooler_only

PERIOD = 0.1
DELAY = 1.5


@pytest.fixture(scope="module")
def trio(session_directory):
    """A primary and two standbys; the second one replays late."""
    cluster = PostgresCluster(session_directory, standbys=2)
    cluster.standbys[1].set(recovery_min_apply_delay=f"{DELAY}s")
    cluster.standbys[1].reload()
    cluster.primary.query("CREATE TABLE written (n int)")
    yield cluster
    cluster.stop()


@pytest.fixture
def watched(trio, session_directory):
    """watched(**settings): a pgbalancer in front of `trio`, and its nodes as a function."""
    made = []

    def make(cluster=trio, **settings):
        balancer = PgBalancer(session_directory, cluster, **{"sr_check_period": f"{int(PERIOD * 1000)}ms"} | settings)
        made.append(balancer)
        return balancer

    yield make
    for balancer in made:
        balancer.stop()


def fresh_until(node, asked) -> float:
    """The monotonic time up to which the node shows everything, at the earliest; `asked`: before SHOW was sent."""
    return asked - float(node["staleness_seconds"]) if node["staleness_seconds"] is not None else 0


def bytes_behind(node):
    return None if node["replication_delay"] is None else int(node["replication_delay"])


def await_fresh(balancer, numbers, deadline=10.0):
    """Returns when these nodes show everything that was written before this call; the seconds it took."""
    start = time.monotonic()

    def fresh():
        asked = time.monotonic()
        nodes = balancer.show("POOL_NODES")
        return all(fresh_until(nodes[number], asked) > start for number in numbers)

    await_condition(fresh, deadline, f"nodes {numbers} fresh")
    return time.monotonic() - start


def check_one_write(trio, balancer, number, write):
    """Writes, and asks until both standbys are fresh; before each is believed, it must show the row.

    The seconds by node: since before the write was begun, and since it was done.
    """
    began = time.monotonic()
    with trio.primary.connect() as connection:
        write(connection, number)
    written = time.monotonic()
    delays = {}
    with balancer.connect(dbname="postgres") as pooler:
        directly = {1: trio.standbys[0].connect(), 2: trio.standbys[1].connect()}
        while len(delays) < len(directly):
            asked = time.monotonic()
            cursor = pooler.execute("SHOW POOL_NODES")
            names = [column.name for column in cursor.description]
            nodes = [dict(zip(names, row)) for row in cursor.fetchall()]
            for index, connection in directly.items():
                if index not in delays and fresh_until(nodes[index], asked) > written:
                    shown = connection.execute("SELECT 1 FROM written WHERE n = %s", [number]).fetchall()
                    assert shown, f"node {index} was called fresh {asked - written:.3f} s after a write it does not show"
                    delays[index] = asked - began, asked - written
            assert asked - written < 10 + DELAY, f"not fresh: {nodes}"
            time.sleep(0.005)
        for connection in directly.values():
            connection.close()
    return delays


def plain(connection, number):
    connection.execute("INSERT INTO written VALUES (%s)", [number])


def asynchronous(connection, number):
    connection.execute("SET synchronous_commit = off")
    plain(connection, number)


def before_a_log_switch(connection, number):
    plain(connection, number)
    connection.execute("SELECT pg_switch_wal()")


def after_a_log_switch(connection, number):
    connection.execute("SELECT pg_switch_wal()")
    plain(connection, number)


@pytest.mark.parametrize("write", [plain, asynchronous, before_a_log_switch, after_a_log_switch])
def test_a_standby_is_fresh_when_it_shows_the_write_and_soon_then(trio, watched, write):
    balancer = watched()
    for number in range(5):
        trio.primary.query("DELETE FROM written")
        delays = check_one_write(trio, balancer, number, write)
        assert delays[2][0] > DELAY, "the late standby cannot have shown it"
        assert delays[1][1] < 5 and delays[2][1] < DELAY + 5


def test_an_idle_cluster_stays_fresh(trio, watched):
    balancer = watched()
    trio.primary.query("SELECT pg_switch_wal()")
    await_fresh(balancer, [1, 2])
    for _ in range(5):
        assert await_fresh(balancer, [1, 2]) < 3
    await_condition(lambda: [bytes_behind(node) for node in balancer.show("POOL_NODES")] == [0, 0, 0], 5, "nobody behind")
    assert [float(node["replication_delay_seconds"]) for node in balancer.show("POOL_NODES")] == [0, 0, 0]


@contextmanager
def replay_paused(standby):
    standby.query("SELECT pg_wal_replay_pause()")
    await_condition(lambda: standby.scalar("SELECT pg_get_wal_replay_pause_state()") == "paused", 10, "replay paused")
    try:
        yield
    finally:
        standby.query("SELECT pg_wal_replay_resume()")


def test_lag_and_replication_state_are_shown(trio, watched):
    balancer = watched()
    await_fresh(balancer, [1])
    with replay_paused(trio.standbys[0]):
        for _ in range(4):
            trio.primary.query("INSERT INTO written SELECT generate_series(1, 10000)")
            time.sleep(2 * PERIOD)

        def late():
            node = balancer.show("POOL_NODES")[1]
            return bytes_behind(node) > 1000000 and float(node["replication_delay_seconds"]) > PERIOD

        await_condition(late, 10, "lag shown")
        node = balancer.show("POOL_NODES")[1]
        assert (node["replication_state"], node["replication_sync_state"]) == ("streaming", "async")
    await_fresh(balancer, [1])
    await_condition(lambda: bytes_behind(balancer.show("POOL_NODES")[1]) == 0, 10, "caught up")


def test_a_standby_that_stops_is_unknown_until_it_is_back(trio, watched):
    balancer = watched()
    await_fresh(balancer, [1])
    trio.standbys[0].stop()

    def unknown():
        node = balancer.show("POOL_NODES")[1]
        return node["staleness_seconds"] is None and node["replication_delay"] is None

    await_condition(unknown, 5, "unknown")
    assert await_fresh(balancer, [2]) < DELAY + 3
    trio.standbys[0].start()
    await_fresh(balancer, [1], 15)


def test_a_server_that_hangs_delays_nobody_else(trio, watched):
    balancer = watched()
    await_fresh(balancer, [1, 2])
    standby = trio.standbys[1]
    stopped = [standby.pid, *processes.children(standby.pid)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        for number in range(5):
            trio.primary.query("INSERT INTO written VALUES (%s)", [number])
            assert await_fresh(balancer, [1]) < 3
        node = balancer.show("POOL_NODES")[2]
        assert float(node["staleness_seconds"]) > 4 * PERIOD and bytes_behind(node) > 0
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)
    await_fresh(balancer, [2], 15)


@pytest.mark.parametrize("user", ["other", "health"])
def test_the_right_to_connect_is_enough_to_know_who_is_fresh(trio, watched, user):
    balancer = watched(sr_check_user=user, sr_check_password=f"{user}-secret", sr_check_database="auth_scram")
    await_fresh(balancer, [1, 2])
    monitor = user == "health"
    assert balancer.show("POOL_NODES")[1]["replication_state"] == ("streaming" if monitor else "")


def positions_unknown(balancer):
    return all(node["staleness_seconds"] is None for node in balancer.show("POOL_NODES")[1:])


def test_without_a_user_positions_are_unknown_and_nobody_complains(trio, watched):
    balancer = watched(health_check_user=None, health_check_password=None, start=False)
    balancer.write_conf(backend_flag0="ALWAYS_PRIMARY")
    balancer.start()
    time.sleep(10 * PERIOD)
    assert positions_unknown(balancer)
    assert "replication position" not in balancer.log_text()


def test_a_refused_login_is_said_once(trio, watched):
    balancer = watched(sr_check_user="other", sr_check_password="wrong", sr_check_database="auth_scram")
    await_condition(lambda: "replication position" in balancer.log_text(), 5, "complaint")
    time.sleep(2.5)
    assert positions_unknown(balancer)
    complaints = [line for line in balancer.log_text().splitlines() if "replication position" in line]
    assert len(complaints) == 3 and all("28P01" in line for line in complaints), complaints
    assert "wrong" not in balancer.log_text()


def test_sampling_is_turned_off_and_on_by_a_reload(trio, watched):
    balancer = watched()
    await_fresh(balancer, [1])
    balancer.write_conf(sr_check_period="0")
    balancer.reload()
    await_condition(lambda: positions_unknown(balancer), 5, "unknown")
    sampling = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbalancer positions'"
    await_condition(lambda: trio.primary.scalar(sampling) == 0, 5, "connections closed")
    balancer.write_conf(sr_check_period="100ms")
    balancer.reload()
    await_fresh(balancer, [1])


def test_a_promotion_and_a_former_primary_that_is_ahead(session_directory, watched):
    """The former primary wrote what no standby received, and comes back as a standby without having been rewound."""
    cluster = PostgresCluster(session_directory, standbys=2)
    former, promoted, follower = cluster.servers
    try:
        balancer = watched(cluster)
        former.query("CREATE TABLE written (n int)")
        await_fresh(balancer, [1, 2])
        for standby in cluster.standbys:
            standby.query("ALTER SYSTEM SET primary_conninfo = ''")
            standby.reload()
        received = "SELECT count(*) FROM pg_stat_wal_receiver"
        await_condition(lambda: not any(s.scalar(received) for s in cluster.standbys), 10, "no receiver")
        former.query("INSERT INTO written SELECT generate_series(1, 100000)")
        former.stop()
        promoted.query("SELECT pg_promote()")
        await_condition(lambda: balancer.show("POOL_NODES")[1]["role"] == "primary", 10, "promoted")
        source = f"host={promoted.host} port={promoted.port} user=postgres application_name="
        follower.query(f"ALTER SYSTEM SET primary_conninfo = '{source}server2'")
        follower.reload()
        former.set(primary_conninfo=source + "server0")
        (former.data / "standby.signal").touch()
        former.start()
        ahead = former.scalar("SELECT pg_last_wal_replay_lsn() - %s::pg_lsn", [promoted.scalar("SELECT pg_current_wal_lsn()")])
        assert ahead > 0, "this test wants the former primary to be ahead"
        await_fresh(balancer, [2], 15)
        seen = 0
        while seen < 20:
            promoted.query("INSERT INTO written VALUES (1)")
            node = balancer.show("POOL_NODES")[0]
            assert node["staleness_seconds"] is None, "a standby of another history was called fresh"
            seen += node["replication_delay_seconds"] is not None
            time.sleep(PERIOD)
    finally:
        cluster.stop()
