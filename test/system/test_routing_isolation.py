"""default_transaction_isolation, wherever it is set: a transaction that must see one state of the data sees the primary's."""

import psycopg
import pytest

from support.balancer import PgBalancer
from support.postgres import PostgresCluster
from support.routes import Routes, tag

pytestmark = pytest.mark.pooler_only

DATABASE = "isolation"
SETTINGS = {
    "role": "ALTER ROLE careful SET default_transaction_isolation = 'repeatable read'",
    "role in the database": f"ALTER ROLE careful IN DATABASE {DATABASE} SET default_transaction_isolation = 'repeatable read'",
    "database": f"ALTER DATABASE {DATABASE} SET default_transaction_isolation = 'repeatable read'",
}


@pytest.fixture(scope="module")
def trio(session_directory):
    cluster = PostgresCluster(session_directory, standbys=2, log_statement="all")
    cluster.primary.query("CREATE ROLE careful LOGIN")
    cluster.primary.query(f"CREATE DATABASE {DATABASE} OWNER app")
    cluster.primary.query("CREATE TABLE t AS SELECT 1 AS n; GRANT SELECT ON t TO PUBLIC", dbname=DATABASE, user="app")
    cluster.await_replay()
    yield cluster
    cluster.stop()


@pytest.fixture
def make_balanced(trio, session_directory):
    made = []

    def make():
        made.append(PgBalancer(session_directory, trio, num_init_children=1, backend_weight0=0, sr_check_period="50ms"))
        return made[-1]

    yield make
    for balancer in made:
        balancer.stop()


def nodes_of(trio, connection, *, transaction: bool) -> list[int]:
    word = tag()
    if transaction:
        with connection.transaction():
            connection.execute(f"SELECT n FROM t /* {word} */")
    else:
        connection.execute(f"SELECT n FROM t /* {word} */")
    return Routes(trio).nodes(word)


@pytest.mark.parametrize("where", SETTINGS)
def test_repeatable_read_by_default_ties_transactions_to_the_primary(trio, make_balanced, where):
    trio.primary.query(SETTINGS[where])
    try:
        trio.await_replay()
        balancer = make_balanced()
        Routes(trio).await_standby_reads(balancer, "SELECT n FROM t", dbname=DATABASE, user="careful")
        with balancer.connect(dbname=DATABASE, user="careful") as connection:
            assert nodes_of(trio, connection, transaction=False) in ([1], [2])
            assert nodes_of(trio, connection, transaction=True) == [0]
            connection.execute("SET default_transaction_isolation = 'read committed'")
            assert nodes_of(trio, connection, transaction=True) in ([1], [2])
        with balancer.connect(dbname=DATABASE, user="app") as connection:
            expected = ([0],) if where == "database" else ([1], [2])
            assert nodes_of(trio, connection, transaction=True) in expected
    finally:
        trio.primary.query(SETTINGS[where].replace("SET", "RESET").split("=")[0])


def test_serializable_by_default_reads_from_the_primary(trio, make_balanced):
    """A standby would refuse every statement."""
    trio.primary.query("ALTER ROLE careful SET default_transaction_isolation = 'serializable'")
    try:
        trio.await_replay()
        balancer = make_balanced()
        Routes(trio).await_standby_reads(balancer, "SELECT n FROM t", dbname=DATABASE, user="app")
        with balancer.connect(dbname=DATABASE, user="careful") as connection:
            assert nodes_of(trio, connection, transaction=False) == [0]
            assert nodes_of(trio, connection, transaction=True) == [0]
        with balancer.connect(dbname=DATABASE, user="app") as connection:
            assert nodes_of(trio, connection, transaction=False) in ([1], [2])
    finally:
        trio.primary.query("ALTER ROLE careful RESET default_transaction_isolation")


def test_one_state_of_the_data_is_seen(trio, make_balanced):
    """Two reads of a REPEATABLE READ transaction, with somebody else's write between them."""
    balancer = make_balanced()
    Routes(trio).await_standby_reads(balancer, "SELECT n FROM t", dbname=DATABASE, user="app")
    with balancer.connect(dbname=DATABASE) as reader, balancer.connect(dbname=DATABASE) as writer:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with reader.transaction():
            (before,) = reader.execute("SELECT count(*) FROM t").fetchone()
            writer.execute("INSERT INTO t VALUES (2)")
            trio.await_replay()
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (before,)
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (before + 1,)
