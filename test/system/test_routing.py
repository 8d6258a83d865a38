"""Statements run on the node where they belong, as the servers' own logs say; their outcome is PostgreSQL's."""

import psycopg
import pytest

from support import comparison
from support import frontend as fe
from support.balancer import PgBalancer
from support.comparison import kinds
from support.postgres import PostgresCluster
from support.raw_client import cancel, connected
from support.routes import Routes, tag
from support.waiting import await_condition

pytestmark = pytest.mark.pooler_only

PRIMARY, STANDBYS = [0], ([1], [2])
# One worker: each reads the catalog for itself, and until then everything is the primary's.
DEFAULTS = {"num_init_children": 1, "backend_weight0": 0, "sr_check_period": "50ms"}
SCHEMA = """
CREATE TABLE items (id int PRIMARY KEY, name text);
INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 100) n;
CREATE FUNCTION scribbles() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';
CREATE FUNCTION doubled(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE TABLE written (n int);
"""


@pytest.fixture(scope="module")
def trio(session_directory):
    """A primary and two standbys that log every statement."""
    cluster = PostgresCluster(session_directory, standbys=2, log_statement="all")
    cluster.primary.query("CREATE DATABASE routing OWNER app")
    cluster.primary.query(SCHEMA, dbname="routing", user="app")
    cluster.await_replay()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def routes(trio):
    return Routes(trio)


@pytest.fixture(scope="module")
def balanced(trio, routes, session_directory):
    """balanced(**settings): a pgbalancer whose reads reach the standbys; the primary has weight 0 unless it is given."""
    made = {}

    def make(**settings):
        key = tuple(sorted(settings.items()))
        if key not in made:
            made[key] = PgBalancer(session_directory, trio, **DEFAULTS | settings)
            routes.await_standby_reads(made[key], "SELECT count(*) FROM items", dbname="routing")
        return made[key]

    yield make
    for balancer in made.values():
        balancer.stop()


@pytest.fixture
def balancer(balanced, routes):
    """After DDL, or what may have been some, the catalog is read again first."""
    balancer = balanced()
    routes.await_standby_reads(balancer, "SELECT count(*) FROM items", dbname="routing")
    return balancer


@pytest.fixture
def client(balancer):
    with connected(balancer, "routing") as client:
        yield client


def errors(messages):
    return [m.sqlstate for m in messages if m.kind == b"E"]


# -- Single statements


READS = [
    "SELECT name FROM items WHERE id = 1",
    "TABLE items",
    "VALUES (1), (2)",
    "WITH few AS (SELECT * FROM items) SELECT count(*) FROM few",
    "SELECT doubled(21)",
    "SELECT now()",
    "EXPLAIN SELECT * FROM items",
    "COPY items TO STDOUT",
    "COPY (SELECT 1) TO STDOUT",
    "SELECT 1; SELECT 2",
    "SHOW search_path",
]
OTHERS = [
    "INSERT INTO written VALUES (1)",
    "SELECT * FROM items WHERE id = 1 FOR UPDATE",
    "WITH gone AS (DELETE FROM written RETURNING n) SELECT count(*) FROM gone",
    "SELECT scribbles()",
    "SELECT random()",
    "SELECT pg_backend_pid()",
    "SELECT count(*) FROM pg_stat_activity",
    "SELECT 1; INSERT INTO written VALUES (2)",
    "DO 'BEGIN END'",
    "SHOW transaction_read_only",
    "SELECT 1 FROM no_such_relation_anywhere, no_such_function()",
]


@pytest.mark.parametrize("statement", READS)
def test_reads_run_on_a_standby(client, routes, statement):
    word = tag()
    assert errors(client.query(f"{statement} /* {word} */")) == []
    assert routes.nodes(word) in STANDBYS


@pytest.mark.parametrize("statement", OTHERS)
def test_anything_else_runs_on_the_primary(client, routes, statement):
    word = tag()
    client.query(f"{statement} /* {word} */")
    assert 0 in routes.nodes(word) or errors(client.query(statement))
    assert not set(routes.nodes(word)) & {1, 2}


@pytest.mark.parametrize("statement", [r for r in READS if ";" not in r])
def test_reads_in_the_extended_protocol(client, routes, statement):
    word = tag()
    reply = client.ask(fe.extended(f"{statement} /* {word} */"), fe.sync())
    assert errors(reply) == [] and reply[-1].status == "I"
    assert routes.nodes(word) in STANDBYS


def test_a_hint_decides(client, routes):
    def nodes(hint, statement="SELECT count(*) FROM items"):
        word = tag()
        client.query(f"{hint} {statement} /* {word} */")
        return routes.nodes(word)

    assert nodes("/*NO LOAD BALANCE*/") == PRIMARY
    assert nodes("/*+ pgbalancer: primary */") == PRIMARY
    assert nodes("/*+ pgbalancer: node=2 */") == [2]
    assert nodes("/*+ pgbalancer: node=1 */") == [1]
    assert nodes("/*+ pgbalancer: standby */", "SELECT random()") in STANDBYS
    assert nodes("/*+ pgbalancer: standby */", "INSERT INTO written VALUES (3)") == PRIMARY


def test_reads_return_to_standbys_however_sessions_quote(balancer, routes):
    """After DDL the catalog is read over the connection of a session that reads literals in another way."""
    with connected(balancer, "routing", standard_conforming_strings="off") as client:
        client.query("CREATE TABLE brief (n int); DROP TABLE brief")

        def on_standby():
            word = tag()
            client.query(f"SELECT count(*) FROM items /* {word} */")
            return routes.nodes(word) in STANDBYS

        await_condition(on_standby, 10, "reads reach standbys")


def test_a_transaction_in_which_a_read_failed(trio, balancer):
    """No server has heard of it, but what is said in it is what PostgreSQL says."""
    steps = [
        comparison.say(fe.parse("kept", "SELECT 1"), fe.sync()),
        *(
            step
            for said in [
                fe.query("ROLLBACK TO nowhere"),
                fe.query("SELEC 1"),
                fe.query("SELECT 1"),
                fe.query("ROLLBACK; SELECT 'after'"),
                fe.describe_statement("kept") + fe.sync(),
                fe.bind("", "nowhere") + fe.sync(),
                fe.bind("", "kept") + fe.sync(),
                fe.parse("", "SELEC 2") + fe.sync(),
                fe.execute("nowhere") + fe.sync(),
                fe.query("BEGIN"),
                fe.query("COMMIT"),
                fe.query("COMMIT AND CHAIN"),
                fe.extended("ROLLBACK") + fe.sync(),
            ]
            for step in [
                comparison.query("BEGIN READ ONLY"),
                comparison.query("SELECT 1 / 0 FROM items"),
                comparison.say(said),
                comparison.query("ROLLBACK"),
            ]
        ),
    ]
    expected = comparison.hold(trio.primary, "routing", steps)
    comparison.assert_same(steps, comparison.hold(balancer, "routing", steps), expected)
    said = [m.sqlstate for reply in expected[3::4] for m in reply if m.kind == b"E"]
    assert said == ["3B001", "42601", "25P02", "25P02", "26000", "25P02", "42601", "34000", "25P02"]


def test_a_session_keeps_its_standby(balancer, routes):
    word = tag()
    with connected(balancer, "routing") as client:
        for _ in range(20):
            client.query(f"SELECT name FROM items WHERE id = 2 /* {word} */")
    assert sorted(routes.counts(word)) == [0, 0, 20]


def test_statements_are_spread_by_weight(balanced, routes):
    balancer = balanced(statement_level_load_balance="on", read_your_writes="off", backend_weight1=1, backend_weight2=3)
    word = tag()
    with connected(balancer, "routing") as client:
        for _ in range(20):
            client.send(fe.query(f"SELECT name FROM items WHERE id = 3 /* {word} */") * 50)
            for _ in range(50):
                client.receive_ready()
    primary, first, second = routes.counts(word)
    assert primary == 0 and first + second == 1000
    assert abs(first - 250) < 5 * (1000 * 0.25 * 0.75) ** 0.5, (first, second)


def test_the_primarys_weight_counts(balanced, routes):
    balancer = balanced(statement_level_load_balance="on", read_your_writes="off", backend_weight0=1)
    word = tag()
    with connected(balancer, "routing") as client:
        for _ in range(300):
            client.query(f"SELECT name FROM items WHERE id = 4 /* {word} */")
    assert all(count > 50 for count in routes.counts(word)), routes.counts(word)


# -- Transactions


def test_reads_before_the_first_write(client, routes):
    before, write, after = tag(), tag(), tag()
    assert client.query("BEGIN")[-1].status == "T"
    for number in range(3):
        reply = client.query(f"SELECT name FROM items WHERE id = {number + 1} /* {before} */")
        assert kinds(reply) == "TDCZ" and reply[-1].status == "T"
    assert client.query(f"INSERT INTO written VALUES (10) /* {write} */")[-1].status == "T"
    reply = client.query(f"SELECT count(*) FROM written WHERE n = 10 /* {after} */")
    assert [m.values for m in reply if m.kind == b"D"] == [[b"1"]] and reply[-1].status == "T"
    reply = client.query("ROLLBACK")
    assert [m.tag for m in reply if m.kind == b"C"] == ["ROLLBACK"] and reply[-1].status == "I"
    assert sorted(routes.counts(before)) == [0, 0, 3] and routes.nodes(before) != PRIMARY
    assert routes.nodes(write) == routes.nodes(after) == PRIMARY
    assert client.value("SELECT count(*) FROM written WHERE n = 10") == "0"


def test_the_same_in_the_extended_protocol(client, routes):
    before, write, after = tag(), tag(), tag()
    read = f"SELECT name FROM items WHERE id = $1::int /* {before} */"
    assert client.ask(fe.extended("BEGIN"), fe.sync())[-1].status == "T"
    for _ in range(2):
        reply = client.ask(fe.extended(read, [b"7"]), fe.sync())
        assert kinds(reply) == "12TDCZ" and reply[-1].status == "T"
    assert client.ask(fe.extended(f"INSERT INTO written VALUES (11) /* {write} */"), fe.sync())[-1].status == "T"
    assert client.ask(fe.extended(f"SELECT 1 /* {after} */"), fe.sync())[-1].status == "T"
    assert client.ask(fe.extended("COMMIT"), fe.sync())[-1].status == "I"
    assert routes.nodes(before) in STANDBYS
    assert routes.nodes(write) == routes.nodes(after) == PRIMARY


def test_a_transaction_of_reads_needs_no_primary(client, routes):
    word, end = tag(), tag()
    for begin in ["BEGIN", "BEGIN READ ONLY", "START TRANSACTION ISOLATION LEVEL READ COMMITTED"]:
        client.query(begin)
        client.query(f"SELECT 1 FROM items /* {word} */")
        client.query(f"SELECT 2 FROM items /* {word} */")
        reply = client.query(f"COMMIT /* {end} */")
        assert [m.tag for m in reply if m.kind == b"C"] == ["COMMIT"]
    assert routes.nodes(word) in STANDBYS and routes.nodes(end) == []


@pytest.mark.parametrize(
    "begin", ["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", "BEGIN READ WRITE"]
)
def test_isolated_transactions_run_on_the_primary(client, routes, begin):
    word = tag()
    client.query(begin)
    client.query(f"SELECT 1 FROM items /* {word} */")
    client.query("COMMIT")
    assert routes.nodes(word) == PRIMARY


def test_isolation_by_default(client, routes):
    in_block, alone = tag(), tag()
    client.query("SET default_transaction_isolation = 'repeatable read'")
    client.query("BEGIN")
    client.query(f"SELECT 1 FROM items /* {in_block} */")
    client.query("COMMIT")
    assert routes.nodes(in_block) == PRIMARY
    client.query("SET default_transaction_isolation = 'serializable'")
    assert errors(client.query(f"SELECT 1 FROM items /* {alone} */")) == []
    assert routes.nodes(alone) == PRIMARY


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_isolation_by_the_roles_default(trio, routes, session_directory, level):
    word = tag()
    trio.primary.query(f"ALTER ROLE app IN DATABASE routing SET default_transaction_isolation = '{level}'")
    balancer = PgBalancer(session_directory, trio, **DEFAULTS)
    try:
        routes.await_standby_reads(balancer, "SELECT count(*) FROM items", dbname="routing", user="postgres")
        with connected(balancer, "routing") as client:
            client.query("BEGIN")
            assert errors(client.query(f"SELECT 1 FROM items /* {word} */")) == []
            client.query("COMMIT")
        assert routes.nodes(word) == PRIMARY
        word = tag()
        with connected(balancer, "routing") as client:
            client.query("SET default_transaction_isolation = 'read committed'")
            client.query("BEGIN")
            client.query(f"SELECT 1 FROM items /* {word} */")
            client.query("COMMIT")
        assert routes.nodes(word) in STANDBYS
        word = tag()
        balancer.query("ALTER ROLE app IN DATABASE routing RESET default_transaction_isolation", dbname="postgres", user="postgres")

        def balanced_again():
            with connected(balancer, "routing") as client:
                client.query("BEGIN")
                client.query(f"SELECT 1 FROM items /* {word} */")
                client.query("COMMIT")
            return routes.nodes(word) != PRIMARY

        await_condition(balanced_again, 10, "the role's default is asked for again")
    finally:
        balancer.stop()
        trio.primary.query("ALTER ROLE app IN DATABASE routing RESET default_transaction_isolation")


def test_the_catalog_is_read_again(trio, routes, session_directory):
    """A function that has become volatile behind pgbalancer's back is noticed after relcache_expire."""
    trio.primary.query("CREATE FUNCTION changing() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'", dbname="routing")
    trio.await_replay()
    balancer = PgBalancer(session_directory, trio, relcache_expire="300ms", **DEFAULTS)

    def nodes():
        word = tag()
        balancer.query(f"SELECT changing() /* {word} */", dbname="routing")
        return routes.nodes(word)

    try:
        await_condition(lambda: nodes() in STANDBYS)
        trio.primary.query("ALTER FUNCTION changing() VOLATILE", dbname="routing")
        await_condition(lambda: nodes() == PRIMARY)
    finally:
        balancer.stop()
        trio.primary.query("DROP FUNCTION changing()", dbname="routing")


def test_set_transaction(client, routes):
    word = tag()
    client.query("BEGIN")
    client.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    client.query(f"SELECT 1 FROM items /* {word} */")
    client.query("COMMIT")
    assert routes.nodes(word) == PRIMARY


def test_now_belongs_to_its_transaction(client, routes):
    word = tag()
    client.query("BEGIN")
    first = client.value(f"SELECT now() /* {word} */")
    assert client.value("SELECT now()") == first
    client.query("INSERT INTO written SELECT 12")
    assert client.value("SELECT now()") == first
    client.query("ROLLBACK")
    assert routes.nodes(word) == PRIMARY


def test_a_failed_read_fails_the_transaction(client, routes):
    word = tag()
    client.query("BEGIN")
    reply = client.query(f"SELECT 1 / (id - id) FROM items /* {word} */")
    assert errors(reply) == ["22012"] and reply[-1].status == "E"
    reply = client.query("SELECT 1")
    assert errors(reply) == ["25P02"] and reply[-1].status == "E"
    reply = client.ask(fe.extended("SELECT 1"), fe.sync())
    assert errors(reply) == ["25P02"] and reply[-1].status == "E"
    reply = client.query("COMMIT")
    assert [m.tag for m in reply if m.kind == b"C"] == ["ROLLBACK"] and reply[-1].status == "I"
    assert routes.nodes(word) in STANDBYS


def test_savepoints(client, routes):
    words = [tag() for _ in range(4)]
    client.query("BEGIN")
    client.query(f"SELECT 1 FROM items /* {words[0]} */")
    client.query("SAVEPOINT s")
    client.query(f"SELECT 1 FROM items /* {words[1]} */")
    client.query("INSERT INTO written VALUES (13)")
    client.query("ROLLBACK TO SAVEPOINT s")
    assert client.value(f"SELECT count(*) FROM written WHERE n = 13 /* {words[2]} */") == "0"
    client.query("COMMIT")
    client.query(f"SELECT 1 FROM items /* {words[3]} */")
    assert routes.nodes(words[0]) in STANDBYS
    assert routes.nodes(words[1]) == routes.nodes(words[2]) == PRIMARY


def test_a_nested_begin_forgets_nothing(client, routes):
    word = tag()
    client.query("BEGIN")
    client.query("INSERT INTO written VALUES (14)")
    client.query("BEGIN")
    assert client.value(f"SELECT count(*) FROM written WHERE n = 14 /* {word} */") == "1"
    client.query("ROLLBACK")
    assert routes.nodes(word) == PRIMARY


# -- Batches and pipelines


def test_a_batch_with_a_write_is_the_primarys(client, routes):
    word = tag()
    batch = [fe.extended(sql) for sql in (f"SELECT 1 /* {word} */", "INSERT INTO written VALUES (20) RETURNING n")]
    reply = client.ask(*batch, fe.sync())
    assert kinds(reply) == "12TDC" * 2 + "Z"
    assert routes.nodes(word) == PRIMARY


def test_a_batch_is_atomic(client):
    batch = [fe.extended(sql) for sql in ("INSERT INTO written VALUES (21)", "SELECT 1 / (id - id) FROM items",
                                          "INSERT INTO written VALUES (21)")]  # fmt: skip
    assert errors(client.ask(*batch, fe.sync())) == ["22012"]
    assert client.value("SELECT count(*) FROM written WHERE n = 21") == "0"


def test_a_batch_of_reads_runs_on_one_standby(client, routes):
    word = tag()
    reply = client.ask(*[fe.extended(f"SELECT {n} /* {word} */") for n in range(5)], fe.sync())
    assert kinds(reply) == "12TDC" * 5 + "Z"
    assert routes.nodes(word) in STANDBYS and sum(routes.counts(word)) == 5


def test_flush_after_execute_decides_for_the_primary(client, routes):
    word = tag()
    client.send(fe.extended(f"SELECT 1 /* {word} */"), fe.flush())
    assert kinds(client.receive_until(b"C")) == "12TDC"
    assert kinds(client.ask(fe.extended("INSERT INTO written VALUES (22)"), fe.sync())) == "12nCZ"
    assert routes.nodes(word) == PRIMARY


def test_flush_after_describe_decides_nothing(client, routes):
    read, write = tag(), tag()
    client.send(fe.parse("", f"SELECT name FROM items WHERE id = $1::int /* {read} */"), fe.describe_statement(), fe.flush())
    assert kinds(client.receive_until(b"T")) == "1tT"
    assert kinds(client.ask(fe.bind("", "", [b"6"]), fe.execute(), fe.sync())) == "2DCZ"
    assert routes.nodes(read) in STANDBYS
    client.send(fe.parse("", f"INSERT INTO written VALUES ($1::int) /* {write} */"), fe.describe_statement(), fe.flush())
    assert kinds(client.receive_until(b"n")) == "1tn"
    assert kinds(client.ask(fe.bind("", "", [b"6"]), fe.execute(), fe.sync())) == "2CZ"
    assert routes.nodes(write) == PRIMARY


def test_flush_after_describe_in_a_transaction(client, routes):
    read, write = tag(), tag()
    client.query("BEGIN")
    client.send(fe.parse("r", f"SELECT name FROM items /* {read} */"), fe.describe_statement("r"), fe.flush())
    assert kinds(client.receive_until(b"T")) == "1tT"
    client.send(fe.parse("w", f"INSERT INTO written VALUES (23) RETURNING n /* {write} */"), fe.flush())
    assert kinds(client.receive_until(b"1")) == "1"
    reply = client.ask(fe.bind("", "w"), fe.execute(), fe.sync())
    assert kinds(reply) == "2DCZ" and reply[-1].status == "T"
    reply = client.ask(fe.bind("", "r"), fe.execute(), fe.sync())
    assert kinds(reply).startswith("2D") and reply[-1].status == "T"
    assert client.query("ROLLBACK")[-1].status == "I"
    assert client.value("SELECT count(*) FROM written WHERE n = 23") == "0"
    assert routes.nodes(write) == routes.nodes(read) == PRIMARY


@pytest.mark.parametrize("begin", [[], ["BEGIN"]], ids=["alone", "in a transaction"])
def test_an_error_before_flush_is_skipped_to_sync(client, begin):
    for sql in begin:
        client.query(sql)
    client.send(fe.parse("", "SELECT nothing FROM items"), fe.describe_statement(), fe.flush())
    assert errors([client.receive()]) == ["42703"]
    client.send(fe.bind(), fe.execute(), fe.flush(), fe.describe_portal())
    reply = client.ask(fe.sync())
    assert kinds(reply) == "Z" and reply[-1].status == ("E" if begin else "I")
    if begin:
        assert errors(client.query("SELECT 1")) == ["25P02"]
        client.query("ROLLBACK")
    assert client.value("SELECT 1") == "1"


def test_a_batch_in_pieces(client, routes):
    word = tag()
    batch = fe.extended(f"SELECT name FROM items WHERE id = $1::int /* {word} */", [b"9"]) + fe.sync()
    client.send_split(batch, range(1, len(batch), 7))
    assert kinds(client.receive_ready()) == "12TDCZ"
    assert routes.nodes(word) in STANDBYS


def test_a_batch_too_long_to_be_kept(client, routes):
    word = tag()
    reply = client.ask(fe.extended(f"SELECT length($1::text) /* {word} */", [b"x" * 70000]), fe.sync())
    assert [m.values for m in reply if m.kind == b"D"] == [[b"70000"]]
    assert routes.nodes(word) == PRIMARY
    word = tag()
    reply = client.query(f"SELECT length('{'x' * 70000}') /* {word} */")
    assert [m.values for m in reply if m.kind == b"D"] == [[b"70000"]]
    assert routes.nodes(word) == PRIMARY


def test_pipelined_queries_keep_their_order(client):
    client.query("DELETE FROM written WHERE n = 30")
    count = "SELECT count(*) FROM written WHERE n = 30"
    client.send(b"".join(fe.query(sql) for sql in [count, "INSERT INTO written VALUES (30)", count, "SELECT 5", count]))
    values = []
    for _ in range(5):
        values += [m.values[0] for m in client.receive_ready() if m.kind == b"D"]
    assert values == [b"0", b"1", b"5", b"1"]


def test_pipelined_batches_keep_their_order(client):
    client.query("DELETE FROM written WHERE n = 31")
    count = fe.extended("SELECT count(*) FROM written WHERE n = 31") + fe.sync()
    insert = fe.extended("INSERT INTO written VALUES (31)") + fe.sync()
    client.send(count, insert, count, fe.query("BEGIN"), count, insert, count, fe.query("COMMIT"))
    replies = [client.receive_ready() for _ in range(8)]
    values = [m.values[0] for reply in replies for m in reply if m.kind == b"D"]
    assert values == [b"0", b"1", b"1", b"2"]
    assert [reply[-1].status for reply in replies] == list("IIITTTTI")


def test_a_portal_that_must_outlive_its_batch(client, routes):
    word = tag()
    client.query("BEGIN")
    reply = client.ask(fe.parse("", f"SELECT id FROM items ORDER BY id /* {word} */"), fe.bind("p"),
                       fe.execute("p", 2), fe.sync())  # fmt: skip
    assert kinds(reply) == "12DDsZ"
    assert kinds(client.ask(fe.execute("p", 3), fe.sync())) == "DDDsZ"
    client.query("COMMIT")
    assert routes.nodes(word) == PRIMARY


def test_a_prepared_statement_is_tied_to_no_node(client, routes):
    word = tag()
    client.ask(fe.parse("s", f"SELECT name FROM items WHERE id = $1::int /* {word} */"), fe.describe_statement("s"), fe.sync())
    run = fe.bind("", "s", [b"8"]) + fe.execute() + fe.sync()
    assert kinds(client.ask(run)) == "2DCZ"
    client.query("BEGIN")
    client.query("INSERT INTO written VALUES (40)")
    assert kinds(client.ask(run)) == "2DCZ"
    client.query("ROLLBACK")
    here, *there = routes.counts(word)
    assert here == 1 and sum(there) == 1

    def returns_to_a_standby():
        assert kinds(client.ask(run)) == "2DCZ"
        return sum(routes.counts(word)[1:]) > 1

    await_condition(returns_to_a_standby, 10, "a standby shows what was written")
    assert kinds(client.ask(fe.close_statement("s"), fe.sync())) == "3Z"
    assert errors(client.ask(run)) == ["26000"]


# -- The session's own


def test_names_that_sql_has_asked_for_are_those_of_one_connection(balanced):
    """From then on the session's statements are prepared under its own names, and such a name is no other node's."""
    balancer = balanced(statement_level_load_balance="on", read_your_writes="off")
    names = [f"p{n}" for n in range(10)]
    with connected(balancer, "routing") as client:
        assert client.rows("SELECT name FROM pg_prepared_statements") == []
        for name in names:
            reply = client.ask(fe.parse(name, "SELECT 59"), fe.describe_statement(name), fe.sync())
            assert errors(reply) == []
        for name in names:
            assert errors(client.ask(fe.bind("", name), fe.execute(), fe.sync())) == []


def test_settings_go_along(client, routes):
    word = tag()
    client.query("SET TimeZone = 'Pacific/Auckland'")
    client.query("SET search_path = pg_catalog")
    assert client.value(f"SELECT current_setting('timezone') /* {word} */") == "Pacific/Auckland"
    assert client.value("SHOW search_path") == "pg_catalog"
    client.query("RESET TimeZone")
    assert client.value("SHOW TimeZone") != "Pacific/Auckland"


def test_a_pinned_session_stays(client, routes):
    word = tag()
    client.query("CREATE TEMPORARY TABLE mine AS SELECT 1 AS n")
    assert client.value(f"SELECT count(*) FROM mine /* {word} */") == "1"
    client.query(f"SELECT 1 FROM items /* {word} */")
    assert routes.nodes(word) == PRIMARY


def test_that_it_was_a_standby_is_not_told(client):
    client.query("SELECT 1 FROM items")
    client.query("INSERT INTO written VALUES (50)")
    client.query("SELECT 1 FROM items")
    assert client.parameters["in_hot_standby"] == "off"


def test_a_cancel_request_reaches_the_standby(client, balancer, routes):
    word = tag()
    client.send(fe.query(f"SELECT count(*) FROM generate_series(1, 1000000000) /* {word} */"))
    await_condition(lambda: routes.nodes(word), 10, "the query runs")
    assert routes.nodes(word) in STANDBYS
    cancel(balancer, client.key)
    reply = client.receive_ready()
    assert errors(reply) == ["57014"] and reply[-1].status == "I"
    assert client.value("SELECT 1") == "1"


def test_session_mode_is_not_balanced(balanced, trio, routes, session_directory):
    balancer = PgBalancer(session_directory, trio, backend_weight0=0, pool_mode="session")
    try:
        await_condition(lambda: [n["role"] for n in balancer.show("POOL_NODES")] == ["primary", "standby", "standby"])
        word = tag()
        with connected(balancer, "routing") as client:
            client.query(f"SELECT 1 FROM items /* {word} */")
        assert routes.nodes(word) == PRIMARY
    finally:
        balancer.stop()


def test_off(balanced, trio, routes, session_directory):
    balancer = PgBalancer(session_directory, trio, backend_weight0=0, load_balance_mode="off")
    try:
        await_condition(lambda: [n["role"] for n in balancer.show("POOL_NODES")] == ["primary", "standby", "standby"])
        word = tag()
        for _ in range(3):
            balancer.query(f"SELECT 1 FROM items /* {word} */", dbname="routing")
        assert routes.nodes(word) == PRIMARY
    finally:
        balancer.stop()


def test_connections_to_standbys_are_made_when_needed(balanced, trio, session_directory):
    balancer = PgBalancer(session_directory, trio, num_init_children=1)
    try:
        await_condition(lambda: [n["role"] for n in balancer.show("POOL_NODES")] == ["primary", "standby", "standby"])
        with balancer.connect(dbname="routing") as connection:
            connection.execute("INSERT INTO written VALUES (60)")
        nodes = {row["backend_id"] for row in balancer.show("POOL_POOLS") if row["database"] == "routing"}
        assert nodes == {"0"} or nodes == {0}
    finally:
        balancer.stop()


# -- Drivers


def test_psycopg_transactions(balancer, trio):
    with psycopg.connect(balancer.conninfo(dbname="routing")) as connection:
        for number in range(20):
            rows = connection.execute("SELECT count(*) FROM written WHERE n = %s", [1000 + number]).fetchall()
            assert rows == [(0,)]
            connection.execute("INSERT INTO written VALUES (%s)", [1000 + number])
            assert connection.execute("SELECT count(*) FROM written WHERE n = %s", [1000 + number]).fetchone() == (1,)
            (connection.commit if number % 2 else connection.rollback)()
    expected = [(1000 + n,) for n in range(20) if n % 2]
    assert trio.primary.query("SELECT n FROM written WHERE n >= 1000 ORDER BY n", dbname="routing") == expected
