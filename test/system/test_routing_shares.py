"""Who gets how many reads: weights, preferences, lists; and that changes of them count from the next statement on."""

import contextlib
import subprocess

import pytest

from support.balancer import PgBalancer
from support.paths import postgres_program
from support.postgres import PostgresCluster
from support.routes import Routes
from support.waiting import await_condition

pytestmark = pytest.mark.pooler_only

DATABASE = "shares"
CLIENTS = 10


@pytest.fixture(scope="module")
def trio(session_directory):
    cluster = PostgresCluster(session_directory, standbys=2)
    cluster.primary.query(f"CREATE DATABASE {DATABASE} OWNER app")
    cluster.primary.query(
        "CREATE TABLE t AS SELECT generate_series(1, 10) AS n;"
        "CREATE FUNCTION scribbles() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';"
        "CREATE FUNCTION looks() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'",
        dbname=DATABASE, user="app",
    )  # fmt: skip
    subprocess.run(
        [postgres_program("pgbench"), "-i", "-q", "-h", cluster.primary.host, "-p", str(cluster.primary.port), "-U", "app",
         DATABASE], check=True, capture_output=True,
    )  # fmt: skip
    cluster.await_replay()
    yield cluster
    cluster.stop()


@contextlib.contextmanager
def balanced(trio, session_directory, **settings):
    defaults = {"num_init_children": 1, "backend_weight0": 0, "sr_check_period": "50ms"}
    balancer = PgBalancer(session_directory, trio, **defaults | settings)
    try:
        await_condition(lambda: route(balancer, "SELECT * FROM t")[1] == "balanced", 10, "reads reach standbys")
        yield balancer
    finally:
        balancer.stop()


def route(balancer, statement: str, **parameters) -> tuple[str, str]:
    """Node and reason for a new session, which has leased a connection to the primary before: so the catalog gets read."""
    with balancer.connect(**{"dbname": DATABASE} | parameters) as connection:
        connection.execute("SELECT pg_backend_pid()")
        return explained(connection, statement)


def explained(connection, statement: str) -> tuple[str, str]:
    row = connection.execute(f"EXPLAIN ROUTE {statement}").fetchone()
    return row[0], row[4]


def selects(balancer) -> list[int]:
    return [int(row["select_cnt"]) for row in balancer.show("POOL_BACKEND_STATS")]


def shares_of_reads(balancer, protocol: str, reads: int) -> list[float]:
    before = selects(balancer)
    each = reads // CLIENTS
    printed = subprocess.run(
        [postgres_program("pgbench"), "-n", "-S", "-M", protocol, "-c", str(CLIENTS), "-j", "2", "-t", str(each),
         "-h", balancer.host, "-p", str(balancer.port), "-U", "app", DATABASE],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert f"number of transactions actually processed: {each * CLIENTS}/{each * CLIENTS}" in printed
    counts = [after - earlier for after, earlier in zip(selects(balancer), before, strict=True)]
    assert sum(counts) >= each * CLIENTS  # and pgbench's own few
    return [count / sum(counts) for count in counts]


WEIGHTS = {"statement_level_load_balance": "on", "backend_weight1": 1, "backend_weight2": 3}


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_reads_are_shared_by_weight(trio, session_directory, protocol):
    with balanced(trio, session_directory, **WEIGHTS) as balancer:
        assert shares_of_reads(balancer, protocol, 8000) == pytest.approx([0, 0.25, 0.75], abs=0.02)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_a_hundred_thousand_reads_are_shared_by_weight(trio, session_directory, protocol):
    with balanced(trio, session_directory, num_init_children=2, **WEIGHTS) as balancer:
        before = {server: commits(server) for server in trio.servers}
        assert shares_of_reads(balancer, protocol, 100_000) == pytest.approx([0, 0.25, 0.75], abs=0.02)

    # As the servers count, when their connections have ended.
    def counted():
        return [commits(server) - before[server] for server in trio.servers]

    await_condition(lambda: sum(counted()) >= 100_000, 10, "statistics have arrived")
    assert [count / sum(counted()) for count in counted()] == pytest.approx([0, 0.25, 0.75], abs=0.03)


def commits(server) -> int:
    return server.scalar(f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{DATABASE}'")


def test_a_new_weight_counts_from_the_next_statement_on(trio, session_directory):
    # Of the other standby it may be known only a moment later that it is not behind.
    settings = {"backend_weight2": 0, "read_your_writes": "off"}
    with balanced(trio, session_directory, **settings) as balancer, balancer.connect(dbname=DATABASE) as connection:
        connection.execute("SELECT n FROM t")
        assert explained(connection, "SELECT n FROM t") == ("1", "balanced")
        balancer.write_conf(backend_weight1=0, backend_weight2=1)
        balancer.reload()
        weights = ["0.000000", "0.000000", "1.000000"]
        await_condition(lambda: [row["lb_weight"] for row in balancer.show("POOL_NODES")] == weights, 10, "reloaded")
        before = selects(balancer)
        connection.execute("SELECT n FROM t")
        counted = [after - earlier for after, earlier in zip(selects(balancer), before, strict=True)]
        assert counted == [0, 0, 1], [(row["node_id"], row["reason"], row["count"]) for row in balancer.show("POOL_ROUTES")]


def test_preferences_and_lists_as_configured(trio, session_directory):
    with balanced(
        trio, session_directory,
        user_redirect_preference_list="oth.*:2",
        database_redirect_preference_list="postgres:primary",
        app_name_redirect_preference_list="reports[0-9]:1",
        write_function_list="looks",
        primary_routing_query_pattern_list=r"SELECT \* FROM t WHERE n = 1\;;.*special.*",
    ) as balancer:  # fmt: skip
        # What a user's transactions are by default is asked when he is there for the first time.
        for node, who in {
            "2": {"user": "other"},
            "1": {"user": "other", "application_name": "reports7"},
            "0": {"user": "other", "dbname": "postgres"},
        }.items():
            expected = (node, "preference list")
            await_condition(lambda e=expected, w=who: route(balancer, "SELECT 1", **w) == e, 10, str(expected))
        assert route(balancer, "SELECT 1")[1] == "balanced"
        with balancer.connect(dbname=DATABASE) as connection:
            connection.execute("SELECT n FROM t")
            assert explained(connection, "SELECT looks()") == ("0", "function list")
            assert explained(connection, "SELECT scribbles()") == ("0", "volatile function")
            assert explained(connection, "select * from t where n = 1") == ("0", "query pattern")
            assert explained(connection, "SELECT n AS special FROM t") == ("0", "query pattern")
            balancer.write_conf(read_only_function_list="scrib.*", write_function_list="", primary_routing_query_pattern_list="")
            balancer.reload()
            await_condition(lambda: explained(connection, "SELECT scribbles()")[1] == "balanced", 10, "reloaded")
            assert explained(connection, "SELECT looks()") == ("0", "function list")
            assert explained(connection, "SELECT n AS special FROM t")[1] == "balanced"


def test_what_the_list_vouches_for_runs_on_a_standby(trio, session_directory):
    with balanced(trio, session_directory, read_only_function_list="scribbles") as balancer:
        before = selects(balancer)
        with balancer.connect(dbname=DATABASE) as connection:
            assert connection.execute("SELECT scribbles()").fetchone() == (1,)
        assert [after - earlier for after, earlier in zip(selects(balancer), before, strict=True)] in ([0, 1, 0], [0, 0, 1])
