"""A BEGIN that waits for its first statement looks to the client exactly like one that does not."""

import pytest

from support import frontend as fe
from support.comparison import kinds, query, say
from support.raw_client import connected

ITEMS = "CREATE TABLE items (id int PRIMARY KEY)"


@pytest.fixture(scope="module")
def one_server(module_balancer):
    return module_balancer(num_init_children=1, max_pool=1)


BEGINS = ["BEGIN", "begin work;", "START TRANSACTION", "/* comment */ BEGIN -- more", "BEGIN ISOLATION LEVEL SERIALIZABLE",
          "BEGIN READ ONLY", "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE, NOT DEFERRABLE"]  # fmt: skip
STATE = "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), txid_current_if_assigned()"


ENDS = ["COMMIT", "ROLLBACK", "END", "ABORT;", "COMMIT AND NO CHAIN"]


@pytest.mark.parametrize("begin", BEGINS)
def test_empty_transactions(one_server, same, begin):
    steps = []
    for end in ENDS:
        steps += [query(begin), query(end), say(fe.extended(begin), fe.sync()), say(fe.extended(end), fe.sync())]
    replies = same(one_server, *steps)
    assert [reply[-1].status for reply in replies] == ["T", "I"] * (2 * len(ENDS))


@pytest.mark.parametrize("begin", BEGINS)
def test_options_reach_the_server(one_server, same, begin):
    same(one_server, query(begin), query(STATE), query("COMMIT"), query(STATE))


def test_warnings_and_tags(one_server, same):
    replies = same(
        one_server,
        query("COMMIT"),
        query("ROLLBACK"),
        query("BEGIN"),
        query("BEGIN"),
        query("START TRANSACTION"),
        query("COMMIT"),
        query("COMMIT"),
        query("ROLLBACK AND CHAIN"),
        query("BEGIN"),
        query("COMMIT AND CHAIN"),
        query("ROLLBACK AND CHAIN"),
        query("ROLLBACK"),
    )
    assert [m.sqlstate for m in replies[3] if m.kind == b"N"] == ["25001"]
    assert [m.sqlstate for m in replies[0] if m.kind == b"N"] == ["25P01"]


def test_error_in_a_deferred_transaction(one_server, same):
    replies = same(
        one_server,
        query("BEGIN"),
        query("SELEC 1"),
        query("SELECT 1"),
        query("COMMIT"),
        query("BEGIN"),
        say(fe.bind("", "unknown"), fe.sync()),
        query("SELECT 1"),
        say(fe.extended("SELECT 1"), fe.sync()),
        query("ROLLBACK"),
        query("BEGIN"),
        say(fe.describe_portal("unknown"), fe.sync()),
        say(fe.extended("COMMIT"), fe.sync()),
    )
    assert [m.tag for m in replies[3] if m.kind == b"C"] == ["ROLLBACK"]


def test_savepoints_first(one_server, same):
    same(
        one_server,
        query("BEGIN"),
        query("SAVEPOINT a"),
        query("INSERT INTO items VALUES (1)"),
        query("ROLLBACK TO a"),
        query("RELEASE a"),
        query("COMMIT"),
        query("SELECT count(*) FROM items"),
        query("SAVEPOINT outside"),
        query("BEGIN"),
        query("ROLLBACK TO nowhere"),
        query("ROLLBACK"),
        setup=ITEMS,
    )


def test_set_transaction_first(one_server, same):
    same(
        one_server,
        query("BEGIN"),
        query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
        query(STATE),
        query("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"),
        query("ROLLBACK"),
        query("BEGIN"),
        query("SET LOCAL work_mem = '1MB'"),
        query("SHOW work_mem"),
        query("COMMIT"),
        query("SHOW work_mem"),
        query("BEGIN"),
        query("SET work_mem = '2MB'"),
        query("SHOW work_mem"),
        query("ROLLBACK"),
        query("SHOW work_mem"),
        query("BEGIN"),
        query("SHOW transaction_isolation"),
        query("COMMIT"),
    )


@pytest.mark.parametrize(
    "sent",
    [
        fe.query("BEGIN; INSERT INTO items VALUES (1)"),
        fe.query("BEGIN; SELECT 1/0"),
        fe.query("BEGIN; COMMIT"),
        fe.query("BEGIN; COMMIT; BEGIN"),
        fe.query("SELECT 1; BEGIN"),
        fe.extended("BEGIN") + fe.extended("INSERT INTO items VALUES (1)") + fe.sync(),
        fe.extended("INSERT INTO items VALUES (1)") + fe.extended("BEGIN") + fe.sync(),
        fe.extended("BEGIN") + fe.extended("SELECT 1/0") + fe.sync(),
        fe.parse("b", "BEGIN") + fe.sync(),
        fe.parse("b", "BEGIN") + fe.describe_statement("b") + fe.bind("", "b") + fe.execute() + fe.execute() + fe.sync(),
        fe.extended("BEGIN ISOLATION LEVEL nonsense") + fe.sync(),
        fe.query("BEGIN PLEASE"),
    ],
    ids=lambda sent: "".join(chr(b) if 31 < b < 127 else "." for b in sent)[:60],
)
def test_begin_in_company(one_server, same, sent):
    same(
        one_server,
        say(sent),
        query("SELECT txid_current_if_assigned() IS NOT NULL"),
        query("COMMIT"),
        query("SELECT count(*) FROM items"),
        setup=ITEMS,
    )


def test_begin_prepared_once_and_executed_often(one_server, same):
    replies = same(
        one_server,
        say(fe.parse("b", "BEGIN"), fe.parse("c", "COMMIT"), fe.parse("i", "INSERT INTO items VALUES ($1)"), fe.sync()),
        *[
            step
            for i in range(3)
            for step in (
                say(fe.bind("", "b"), fe.execute(), fe.sync()),
                say(fe.bind("", "i", [str(i).encode()]), fe.execute(), fe.sync()),
                say(fe.bind("", "c"), fe.execute(), fe.sync()),
            )
        ],
        query("SELECT count(*) FROM items"),
        setup=ITEMS,
    )
    assert [reply[-1].status for reply in replies[1:4]] == ["T", "T", "I"]


def test_flush_after_begin(one_server, same):
    same(
        one_server,
        say(fe.extended("BEGIN"), fe.flush(), until="C"),
        say(fe.extended("SELECT 1"), fe.sync()),
        query("COMMIT"),
    )


def test_copy_and_function_call_as_first_statement(one_server, same):
    replies = same(
        one_server,
        query("BEGIN"),
        say(fe.query("COPY items FROM STDIN"), until="G"),
        say(fe.copy_data(b"1\n2\n"), fe.copy_done()),
        query("ROLLBACK"),
        query("SELECT count(*) FROM items"),
        query("BEGIN"),
        say(fe.function_call(1257, [b"four"])),
        query("COMMIT"),
        setup=ITEMS,
    )
    assert kinds(replies[6]) == "VZ" and replies[6][-1].status == "T"


def test_sync_and_empty_queries_within_a_deferred_transaction(one_server, same):
    replies = same(
        one_server,
        query("BEGIN"),
        say(fe.sync()),
        query(""),
        query("-- nothing"),
        say(fe.extended(""), fe.sync()),
        say(fe.parse("s", "SELECT 1"), fe.sync()),
        say(fe.close_statement("s"), fe.sync()),
        query("COMMIT"),
    )
    assert all(reply[-1].status == "T" for reply in replies[:7])


@pytest.mark.pooler_only
def test_a_deferred_begin_holds_no_server_connection(one_server, dbname):
    with connected(one_server, dbname) as idle, connected(one_server, dbname) as busy:
        idle.query("BEGIN")
        for i in range(3):
            assert busy.value(f"SELECT {i}") == str(i)
        busy.query("BEGIN")
        busy.query("SELECT 1")
        busy.query("COMMIT")
        assert idle.query("COMMIT")[-1].status == "I"


@pytest.mark.pooler_only
def test_lazy_begin_off_sends_it_at_once(make_balancer, cluster, dbname):
    balancer = make_balancer(num_init_children=1, max_pool=1, lazy_begin="off")
    with connected(balancer, dbname) as client:
        client.query("BEGIN")
        states = cluster.primary.query("SELECT state FROM pg_stat_activity WHERE datname = %s", [dbname])
        assert states == [("idle in transaction",)]


def test_now_is_fixed_within_the_transaction(one_server, dbname):
    with connected(one_server, dbname) as client:
        client.query("BEGIN")
        first = client.value("SELECT now()")
        client.value("SELECT pg_sleep(0.01)")
        assert client.value("SELECT now()") == first
        client.query("COMMIT")


@pytest.mark.parametrize("first", [fe.describe_portal(), fe.execute(), fe.execute("", 5)], ids=["describe", "execute", "some rows"])
def test_an_unnamed_portal_is_not_that_of_the_begin(one_server, same, first):
    replies = same(
        one_server,
        query("BEGIN"),
        say(first, fe.sync()),
        query("ROLLBACK"),
        query("BEGIN"),
        say(fe.parse("", "SELECT 5"), fe.bind("p"), first, fe.sync()),
        query("ROLLBACK"),
        query("BEGIN"),
        say(fe.parse("", "SELECT 6"), fe.bind(), first, fe.sync()),
        query("COMMIT"),
    )
    assert replies[1][0].sqlstate == "34000" and replies[4][2].sqlstate == "34000" and replies[7][-1].status == "T"
