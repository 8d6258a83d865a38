"""What tells where statements go: POOL_ROUTES, POOL_NODES, the log, notices."""

import pytest

from support import frontend as fe
from support.balancer import PgBalancer
from support.postgres import PostgresCluster
from support.raw_client import connected
from support.routes import Routes, tag
from support.waiting import await_condition

pytestmark = pytest.mark.pooler_only

DATABASE = "reports"


@pytest.fixture(scope="module")
def trio(session_directory):
    cluster = PostgresCluster(session_directory, standbys=2, log_statement="all")
    cluster.primary.query(f"CREATE DATABASE {DATABASE} OWNER app")
    cluster.primary.query("CREATE TABLE t AS SELECT generate_series(1, 10) AS n", dbname=DATABASE, user="app")
    cluster.await_replay()
    yield cluster
    cluster.stop()


@pytest.fixture
def balanced(trio, session_directory):
    made = []

    def make(**settings):
        defaults = {"num_init_children": 1, "backend_weight0": 0, "sr_check_period": "50ms"}
        made.append(PgBalancer(session_directory, trio, **defaults | settings))
        Routes(trio).await_standby_reads(made[-1], "SELECT count(*) FROM t", dbname=DATABASE)
        return made[-1]

    yield make
    for balancer in made:
        balancer.stop()


def counts(balancer) -> dict:
    return {(row["node_id"], row["reason"]): int(row["count"]) for row in balancer.show("POOL_ROUTES")}


def test_routes_are_counted_by_node_and_reason(balanced):
    balancer = balanced(backend_weight2=0)
    before = counts(balancer)
    with connected(balancer, DATABASE) as client:
        for _ in range(3):
            client.query("SELECT n FROM t")
        client.ask(fe.extended("SELECT 1"), fe.extended("SELECT 2"), fe.sync())  # one batch, one route
        client.query("BEGIN")
        client.query("SELECT n FROM t")
        client.query("INSERT INTO t VALUES (11)")
        client.query("SELECT n FROM t")
        client.query("COMMIT")
        client.query("SELECT random()")
        client.query("/*+ pgbalancer: node=2 */ SELECT 1")
    after = counts(balancer)
    grown = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
    assert grown == {("1", "balanced"): 5, ("2", "hint"): 1, ("0", "volatile function"): 1, ("0", "write"): 1,
                     ("0", "in transaction"): 2}  # fmt: skip


def test_the_sessions_node_is_shown(balanced, trio):
    balancer = balanced()
    with balancer.connect(dbname=DATABASE) as connection:

        def chosen():
            cursor = connection.execute("SHOW POOL_NODES")
            names = [column.name for column in cursor.description]
            rows = [dict(zip(names, row)) for row in cursor]
            return [row["node_id"] for row in rows if row["load_balance_node"] == "true"]

        assert chosen() == []  # nothing has been read yet
        word = tag()
        connection.execute(f"SELECT n FROM t /* {word} */")
        assert chosen() == [str(node) for node in Routes(trio).nodes(word)]


def test_each_statement_is_logged_with_its_node(balanced):
    balancer = balanced(log_per_node_statement="on", backend_weight2=0)
    word = tag()
    with connected(balancer, DATABASE) as client:
        client.query(f"SELECT n FROM t /* {word} read */")
        client.ask(fe.extended(f"SELECT random() /* {word}\n volatile */"), fe.sync())

    def lines():
        return [line.split(": ", 1)[1] for line in balancer.log_text().splitlines() if word in line]

    await_condition(lambda: len(lines()) == 2, 10, "both are logged")
    read, volatile = lines()
    assert read.startswith("DB node id: 1 backend pid: ") and "reason: balanced statement: SELECT n FROM t" in read
    assert volatile.startswith("DB node id: 0 backend pid: ") and "reason: volatile function" in volatile


def test_each_statement_is_noticed_with_its_node(balanced):
    balancer = balanced(notice_per_node_statement="on", backend_weight2=0)

    def notices(replies):
        return [reply.fields["M"] for reply in replies if reply.kind == b"N"]

    with connected(balancer, DATABASE) as client:
        replies = client.query("SELECT generate_series(1, 10)")
        assert notices(replies) == ["DB node id: 1 reason: balanced statement: SELECT generate_series(1, 10)"]
        assert [reply.kind for reply in replies].count(b"D") == 10
        replies = client.ask(fe.extended("SELECT random()"), fe.sync())
        assert notices(replies) == ["DB node id: 0 reason: volatile function statement: SELECT random()"]
        # Many rows, and the next statement sent before they have been read.
        replies = client.ask(fe.query("SELECT generate_series(1, 20000)"))
        assert [reply.kind for reply in replies].count(b"D") == 20000
        client.send(fe.query("SELECT generate_series(1, 20000), random()"), fe.query("SELECT 1"))
        first, second = client.receive_ready(), client.receive_ready()
        assert [reply.kind for reply in first].count(b"D") == 20000
        assert [reply.kind for reply in second if reply.kind != b"N"] == [b"T", b"D", b"C", b"Z"]
