"""Applications on a primary and two standbys see what they would see on one server, whatever driver they use.

Pools of connections read on one what they wrote on another: that takes read_your_writes = global.
"""

import pytest

from support import node, shop
from support.balancer import PgBalancer
from support.postgres import PostgresCluster
from support.routes import Routes

pytestmark = pytest.mark.pooler_only

STEPS = 120


def _portions(read_your_writes: str) -> list[list]:
    """What the application does at a stretch, with connections of its own."""
    size = STEPS if read_your_writes == "session" else 15
    steps = [("look", 1, 0)] * 5 + shop.draw(STEPS - 5)  # reads first: a standby serves them
    return [steps[at : at + size] for at in range(0, STEPS, size)]


@pytest.fixture(scope="module")
def delayed_trio(session_directory):
    """Standbys that are always a little behind, so that a read which does not wait for its session's write is wrong."""
    cluster = PostgresCluster(session_directory, standbys=2, log_statement="all")
    for standby in cluster.servers[1:]:
        standby.set(recovery_min_apply_delay="100ms")
        standby.reload()
    cluster.primary.query("CREATE DATABASE ready OWNER app")
    cluster.primary.query("CREATE TABLE ready_made (n int)", dbname="ready", user="app")
    yield cluster
    cluster.stop()


def _shop_reads(servers) -> int:
    words = ("orders", "spending", "customers")
    lines = [line for server in servers for line in server.log_text().splitlines() if Routes.is_statement(line)]
    return sum("SELECT" in line and "/*" not in line and any(word in line for word in words) for line in lines)


@pytest.mark.parametrize(
    "application, read_your_writes",
    [
        pytest.param(shop.with_psycopg, "session", id="psycopg"),
        pytest.param(shop.with_psycopg, "global", id="psycopg, global"),
        pytest.param(shop.with_sqlalchemy, "global", id="sqlalchemy"),
        pytest.param(
            shop.with_node_postgres,
            "global",
            id="node-postgres",
            marks=pytest.mark.skipif(not node.available(), reason="node or npm is not installed"),
        ),
    ],
)
def test_shop(delayed_trio, session_directory, application, read_your_writes):
    routes = Routes(delayed_trio)
    settings = {"read_your_writes": read_your_writes, "num_init_children": 1, "backend_weight0": 0, "sr_check_period": "50ms"}
    with delayed_trio.database("directly") as direct, delayed_trio.database("balanced") as balanced:
        for dbname in direct, balanced:
            delayed_trio.primary.query(shop.SCHEMA, dbname=dbname, user="app")
        expected = [application(delayed_trio.primary, direct, steps) for steps in _portions(read_your_writes)]
        balancer = PgBalancer(session_directory, delayed_trio, **settings)
        try:
            before = _shop_reads(delayed_trio.servers[1:])
            seen = []
            for steps in _portions(read_your_writes):
                # An application that writes all the time reads its writes on the primary; this one has pauses.
                routes.await_standby_reads(balancer, "SELECT count(*) FROM orders", dbname=balanced)
                seen.append(application(balancer, balanced, steps))
            reads_on_standbys = _shop_reads(delayed_trio.servers[1:]) - before
        finally:
            balancer.stop()
    assert sum(map(len, expected)) == STEPS
    assert seen == expected
    assert reads_on_standbys > 0
