"""Prepared statements of the protocol over shared server connections: each session has its own, whoever carries them."""

import psycopg
import pytest

from support import frontend as fe
from support.comparison import kinds, query, say
from support.raw_client import connected


@pytest.fixture(scope="module")
def one_server(module_balancer):
    return module_balancer(num_init_children=1, max_pool=1)


def run(name, *values):
    return fe.bind("", name, [str(v).encode() for v in values]) + fe.describe_portal() + fe.execute()


def shown(reply):
    return [m.values[0] for m in reply if m.kind == b"D"]


def test_same_name_different_statements(one_server, same):
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT 'of a'"), fe.sync(), who="a"),
        say(fe.parse("s", "SELECT 'of b', $1::int"), fe.sync(), who="b"),
        say(run("s"), fe.sync(), who="a"),
        say(run("s", 1), fe.sync(), who="b"),
        say(fe.close_statement("s"), fe.sync(), who="a"),
        say(run("s"), fe.sync(), who="a"),
        say(run("s", 2), fe.sync(), who="b"),
        say(run("s"), fe.sync(), who="c"),
    )
    assert replies[5][0].sqlstate == "26000" and replies[7][0].sqlstate == "26000"


def test_same_text_different_types_and_search_paths(one_server, same):
    """What a statement means depends on more than its text."""
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT pg_typeof($1)::text", [23]), run("s", 1), fe.sync(), who="a"),
        say(fe.parse("s", "SELECT pg_typeof($1)::text", [25]), run("s", 1), fe.sync(), who="b"),
        query("SET search_path = one", who="a"),
        query("SET search_path = two", who="b"),
        say(fe.parse("t", "SELECT name FROM place"), run("t"), fe.sync(), who="a"),
        say(fe.parse("t", "SELECT name FROM place"), run("t"), fe.sync(), who="b"),
        say(run("t"), fe.sync(), who="a"),
        say(run("t"), fe.sync(), who="b"),
        query("SET search_path = two", who="a"),
        say(run("t"), fe.sync(), who="a"),
        setup="CREATE SCHEMA one; CREATE TABLE one.place AS SELECT 'one' AS name;"
        "CREATE SCHEMA two; CREATE TABLE two.place AS SELECT 'two' AS name",
    )
    assert [replies[i][2].values for i in (6, 7, 9)] == [[b"one"], [b"two"], [b"two"]]


def test_same_text_different_meaning_of_its_literals(one_server, same):
    """Literals get their values when the statement is parsed, by the settings of that session."""
    moment = "SELECT extract(epoch FROM timestamptz '2020-07-01 00:00')::text, 'a\\b', date '01/02/2020' - date '2020-01-01'"
    replies = same(
        one_server,
        query("SET TimeZone = 'UTC'", who="a"),
        query("SET TimeZone = 'Asia/Tokyo'", who="b"),
        query("SET DateStyle = 'ISO, DMY'", who="b"),
        query("SET standard_conforming_strings = off", who="b"),
        query("SET escape_string_warning = off", who="b"),
        say(fe.parse("s", moment), run("s"), fe.sync(), who="a"),
        say(fe.parse("s", moment), run("s"), fe.sync(), who="b"),
        say(run("s"), fe.sync(), who="a"),
        say(run("s"), fe.sync(), who="b"),
        say(run("s"), fe.sync(), who="a"),
    )
    first, second = (next(r.values for r in replies[i] if r.kind == b"D") for i in (7, 8))
    assert first[0] != second[0] and first[1] != second[1] and first[2] != second[2]


def test_statement_prepared_inside_a_failed_transaction_of_another(one_server, same):
    same(
        one_server,
        query("BEGIN", who="a"),
        say(fe.parse("s", "SELECT 1"), fe.sync(), who="a"),
        query("SELECT 1/0", who="a"),
        say(run("s"), fe.sync(), who="a"),
        query("ROLLBACK", who="a"),
        say(fe.parse("s", "SELECT 2"), run("s"), fe.sync(), who="b"),
        say(run("s"), fe.sync(), who="a"),
    )


def test_parse_in_a_failed_transaction(one_server, same):
    replies = same(
        one_server,
        query("BEGIN"),
        query("SELECT 1/0"),
        say(fe.parse("s", "SELECT 1"), fe.sync()),
        say(fe.parse("end", "ROLLBACK"), run("end"), fe.sync()),
        say(run("s"), fe.sync()),
    )
    assert replies[2][0].sqlstate == "25P02" and replies[4][0].sqlstate == "26000"


def test_object_dropped_and_made_again(one_server, same):
    same(
        one_server,
        say(fe.parse("s", "SELECT * FROM items"), fe.describe_statement("s"), fe.sync()),
        say(run("s"), fe.sync()),
        query("DROP TABLE items", who="b"),
        say(run("s"), fe.sync()),
        query("CREATE TABLE items (id int)", who="b"),
        say(run("s"), fe.sync()),
        query("DROP TABLE items; CREATE TABLE items (id text, more int)", who="b"),
        say(run("s"), fe.sync()),
        say(fe.close_statement("s"), fe.parse("s", "SELECT * FROM items"), run("s"), fe.sync()),
        setup="CREATE TABLE items (id int)",
    )


def test_changed_shape_is_an_error_not_wrong_bytes_after_a_hand_over(one_server, same):
    """Described as int, the column becomes bigint while another client has the server connection: a binary client must not be given
    eight bytes where four were announced."""
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT id FROM items"), fe.describe_statement("s"), fe.sync(), who="a"),
        say(fe.bind("", "s", [], [], [1]), fe.execute(), fe.sync(), who="a"),
        query("ALTER TABLE items ALTER id TYPE bigint", who="b"),
        query("DISCARD ALL", who="b"),
        say(fe.bind("", "s", [], [], [1]), fe.execute(), fe.sync(), who="a"),
        setup="CREATE TABLE items AS SELECT 7 AS id",
    )
    assert replies[1][1].values == [b"\0\0\0\7"] and replies[4][0].sqlstate == "0A000"


def test_deallocate_all_of_one_client_spares_the_other(one_server, same):
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT 'a'"), fe.sync(), who="a"),
        say(fe.parse("s", "SELECT 'b'"), fe.sync(), who="b"),
        query("DEALLOCATE ALL", who="a"),
        say(run("s"), fe.sync(), who="b"),
        say(run("s"), fe.sync(), who="a"),
        query("DISCARD ALL", who="b"),
        say(run("s"), fe.sync(), who="b"),
    )
    assert [kinds(replies[i]) for i in (3, 4, 6)] == ["2TDCZ", "EZ", "EZ"]


def test_statements_end_with_their_session(one_server, dbname):
    with connected(one_server, dbname) as client:
        client.ask(fe.parse("s", "SELECT 1"), fe.sync())
    with connected(one_server, dbname) as client:
        messages = client.ask(run("s"), fe.sync())
        assert messages[0].sqlstate == "26000"


def test_more_statements_than_the_cache_keeps(module_balancer, dbname):
    balancer = module_balancer(num_init_children=1, max_pool=1, prepared_statement_cache_size=10)
    with connected(balancer, dbname) as one, connected(balancer, dbname) as two:
        for client, sign in ((one, "+"), (two, "-")):
            for i in range(50):
                client.ask(fe.parse(f"s{i}", f"SELECT $1::int {sign} {i}"), fe.sync())
        for i in range(50):
            for client, sign in ((one, 1), (two, -1)):
                messages = client.ask(run(f"s{i}", 100), fe.sync())
                assert messages[2].values == [str(100 + sign * i).encode()]
        # A pipeline that needs more of them than are kept.
        messages = one.ask(*[run(f"s{i}", 1) for i in range(50)], fe.sync())
        assert [m.values[0] for m in messages if m.kind == b"D"] == [str(1 + i).encode() for i in range(50)]


def test_many_statements_of_one_session(one_server, dbname):
    with connected(one_server, dbname) as client:
        data = b"".join(fe.parse(f"s{i}", f"SELECT {i}") for i in range(2000))
        messages = client.ask(data, fe.sync())
        assert kinds(messages) == "1" * 2000 + "Z"
        messages = client.ask(*[run(f"s{i}") for i in range(1999, 0, -7)], fe.sync())
        assert [m.values[0] for m in messages if m.kind == b"D"] == [str(i).encode() for i in range(1999, 0, -7)]


def test_a_long_statement_name_and_a_long_statement(one_server, same):
    name = "n" * 5000
    text = f"SELECT cardinality(ARRAY[{','.join(['1'] * 50000)}])"
    replies = same(
        one_server,
        say(fe.parse(name, "SELECT 'long name'"), run(name), fe.sync()),
        say(fe.parse("s", text), run("s"), fe.sync()),
        query("SELECT 1", who="b"),
        say(run(name), run("s"), fe.sync()),
    )
    assert replies[1][3].values == [b"50000"]


def test_interleaved_pipelines_of_many_clients(module_balancer, dbname):
    """Statements of the same names with other texts, over fewer server connections than clients."""
    balancer = module_balancer(num_init_children=2, max_pool=2)
    clients = [connected(balancer, dbname) for _ in range(12)]
    try:
        for i, client in enumerate(clients):
            client.ask(*[fe.parse(f"s{k}", f"SELECT {i} * 1000 + {k} + $1::int") for k in range(5)], fe.sync())
        for turn in range(10):
            for client in clients:
                client.send(*[run(f"s{k}", turn) for k in range(5)], fe.sync())
            for i, client in enumerate(clients):
                rows = [int(m.values[0]) for m in client.receive_ready() if m.kind == b"D"]
                assert rows == [i * 1000 + k + turn for k in range(5)]
    finally:
        for client in clients:
            client.close()


def test_psycopg_prepares_at_once_and_shares(one_server, dbname):
    connections = [one_server.connect(dbname=dbname, prepare_threshold=0) for _ in range(4)]
    try:
        for turn in range(5):
            for i, connection in enumerate(connections):
                row = connection.execute("SELECT %s::int * 10 + %s::int", [i, turn]).fetchone()
                assert row == (i * 10 + turn,)
        connections[0].execute("DEALLOCATE ALL")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            connections[0].execute("SELECT %s::int * 10 + %s::int", [1, 2])
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.pooler_only
def test_a_server_that_is_gone_takes_no_statement_along(make_balancer, cluster, dbname):
    """Between transactions a server connection may end; the next one is given what the session prepared."""
    balancer = make_balancer(num_init_children=1, max_pool=1)
    with connected(balancer, dbname) as client:
        client.ask(fe.parse("s", "SELECT $1::int + 1"), fe.sync())
        assert client.ask(run("s", 1), fe.sync())[2].values == [b"2"]
        cluster.primary.query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [dbname])
        assert client.ask(run("s", 2), fe.sync())[2].values == [b"3"]


# What a pipeline says of a name depends on how the batches before it end


def test_name_given_again_behind_a_parse_that_failed(one_server, same):
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT nonsense"), fe.sync(), fe.close_statement("s"), fe.parse("s", "SELECT 5"), fe.sync()),
        say(),
        query("SELECT 1", who="b"),
        say(run("s"), fe.sync()),
    )
    assert kinds(replies[1]) == "31Z" and replies[3][2].values == [b"5"]


def test_a_parse_that_was_skipped_prepares_nothing(one_server, same):
    """Though the server connection has the statement from another session."""
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT 7"), run("s"), fe.sync(), who="b"),
        say(fe.execute("nobody"), fe.parse("t", "SELECT 7"), fe.sync(), run("t"), fe.sync()),
        say(),
        say(fe.execute("nobody"), fe.parse("t", "SELECT 7"), fe.sync(), fe.describe_statement("t"), fe.sync()),
        say(),
        say(fe.parse("t", "SELECT 8"), run("t"), fe.sync()),
    )
    assert replies[2][0].sqlstate == replies[4][0].sqlstate == "26000" and replies[5][3].values == [b"8"]


def test_a_parse_that_was_skipped_and_again_in_the_next_batch(one_server, same):
    """Under other names, and by sessions that come later: the server connection has it once."""
    text = "SELECT 'skipped and again'"
    replies = same(
        one_server,
        say(fe.execute("nobody"), fe.parse("s", text), fe.sync(), fe.parse("t", text), fe.sync()),
        say(),
        say(run("t"), fe.sync()),
        say(fe.parse("u", text), run("u"), fe.sync()),
        say(fe.parse("u", text), run("u"), fe.sync(), who="b"),
    )
    assert kinds(replies[1]) == "1Z" and shown(replies[4]) == [b"skipped and again"]


def test_a_statement_bound_in_a_batch_that_failed_and_in_the_next(one_server, same):
    """It is not on the server connection of the second time."""
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT 'named'"), fe.parse("", "SELECT 'unnamed'"), fe.sync()),
        query("SET work_mem = '5MB'", who="b"),
        query("DISCARD ALL", who="b"),
        say(fe.parse("", "SELECT 'unnamed of b'"), fe.sync(), who="b"),
        say(fe.execute("nobody"), run("s"), fe.sync(), run("s"), fe.sync()),
        say(),
        say(fe.parse("", "SELECT 'unnamed'"), fe.sync()),
        say(fe.parse("", "SELECT 'unnamed of b'"), fe.sync(), who="b"),
        say(fe.execute("nobody"), run(""), fe.sync(), run(""), fe.sync()),
        say(),
    )
    assert shown(replies[5]) == [b"named"] and shown(replies[9]) == [b"unnamed"]


@pytest.mark.parametrize("sql", ["EXECUTE s", "EXPLAIN EXECUTE s", "SELECT name FROM pg_prepared_statements"])
def test_sql_about_a_statement_whose_parse_was_skipped(one_server, same, sql):
    replies = same(
        one_server,
        say(fe.execute("nobody"), fe.parse("s", "SELECT 1"), fe.sync(), fe.query(sql)),
        say(),
        say(fe.parse("sql", sql), fe.sync()),
        say(fe.execute("nobody"), fe.parse("s", "SELECT 1"), fe.sync(), run("sql"), fe.sync()),
        say(),
    )
    if "EXECUTE" in sql:
        assert replies[1][0].sqlstate == "26000"


def test_a_close_that_was_skipped_leaves_the_name_taken(one_server, same):
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT 1"), fe.sync()),
        say(fe.execute("nobody"), fe.close_statement("s"), fe.sync(), fe.parse("s", "SELECT 2"), fe.sync()),
        say(),
        say(run("s"), fe.sync()),
        say(fe.execute("nobody"), fe.close_statement("s"), fe.parse("s", "SELECT 3"), fe.sync(), run("s"), fe.sync()),
        say(),
    )
    assert replies[2][0].sqlstate == "42P05" and replies[3][2].values == replies[5][2].values == [b"1"]


def test_the_second_message_of_a_batch_depends_on_the_batch_before(one_server, same):
    replies = same(
        one_server,
        say(
            fe.extended("SELECT 1/0"),
            fe.parse("s", "SELECT 7"),
            fe.sync(),
            fe.parse("t", "SELECT 8"),
            fe.parse("s", "SELECT 9"),
            run("s"),
            fe.sync(),
        ),
        say(),
    )
    assert kinds(replies[1]) == "112TDCZ" and replies[1][4].values == [b"9"]


@pytest.mark.parametrize("command", ["DEALLOCATE ALL", "DISCARD ALL", "DEALLOCATE s"])
@pytest.mark.parametrize("transaction", [True, False])
def test_name_given_again_in_the_batch_that_ends_it_by_sql(one_server, same, command, transaction):
    first = [query("BEGIN")] if transaction and command != "DISCARD ALL" else []
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT 1"), fe.parse("end", command), run("s"), fe.sync()),
        *first,
        say(
            fe.bind("", "end"),
            fe.execute(),
            fe.parse("s", "SELECT 2"),
            fe.close_statement("t"),
            fe.parse("t", "SELECT 3"),
            run("s"),
            fe.sync(),
        ),
        say(run("s"), run("t"), fe.sync()),
        say(fe.parse("s", "SELECT 4"), fe.sync()),
        query("ROLLBACK"),
        say(run("s"), run("t"), fe.sync()),
        query("SELECT name, statement FROM pg_prepared_statements ORDER BY name"),
    )
    assert shown(replies[len(first) + 2]) == [b"2", b"3"]


def test_a_taken_name_is_no_matter_where_the_parse_fails_anyway(one_server, same):
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT 1"), fe.sync()),
        say(fe.parse("s", "SELEC"), fe.sync()),
        say(fe.parse("s", "SELECT nonsense"), fe.sync()),
        query("BEGIN"),
        say(fe.parse("s", "SELECT 2"), fe.sync()),
        say(fe.parse("s", "SELECT 2"), fe.sync()),
        query("ROLLBACK"),
        say(run("s"), fe.sync()),
    )
    assert [reply[0].sqlstate for reply in replies[1:3]] == ["42601", "42703"]
    assert [reply[0].sqlstate for reply in replies[4:6]] == ["42P05", "25P02"]


def test_an_error_tells_the_clients_name_of_a_statement_that_is_being_closed(one_server, same):
    replies = same(
        one_server,
        say(fe.parse("mine", "SELECT $1::int"), fe.sync()),
        say(fe.bind("", "mine"), fe.close_statement("mine"), fe.sync()),
        say(fe.bind("", "mine"), fe.close_statement("mine"), fe.parse("mine", "SELECT 2"), fe.sync()),
    )
    assert all('prepared statement "mine" requires 1' in reply[0].fields["M"] for reply in replies[1:])


def test_names_of_ours_do_not_show_after_a_skipped_look_at_all_statements(one_server, same):
    """The look would have taken those of other sessions off the server connection."""
    look = "SELECT name, from_sql FROM pg_prepared_statements ORDER BY name"
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT 'of b'"), fe.sync(), who="b"),
        say(fe.parse("look", look), fe.sync()),
        say(fe.execute("nobody"), run("look"), fe.sync()),
        query(look),
    )
    assert [m.values[0] for m in replies[3] if m.kind == b"D"] == [b"look"]


def test_an_unnamed_statement_is_not_met_by_another_session(one_server, same):
    """The second Parse is skipped, so the first one's statement stays on the server connection."""
    replies = same(
        one_server,
        say(fe.parse("", "SELECT 'first'"), fe.execute("nobody"), fe.parse("", "SELECT 'second'"), fe.sync()),
        say(fe.describe_statement(), fe.sync(), who="b"),
        say(fe.bind(), fe.execute(), fe.sync(), who="b"),
    )
    assert [reply[0].sqlstate for reply in replies[1:]] == ["26000", "26000"]


@pytest.mark.parametrize(
    "deallocate", [fe.query("DEALLOCATE s"), fe.extended("deallocate PREPARE s") + fe.sync()], ids=["simple", "extended"]
)
@pytest.mark.parametrize("change", ["DROP TABLE items", "SET search_path = pg_catalog", "BEGIN"])
def test_deallocate_of_a_statement_that_could_not_be_prepared_now(target, same, change, deallocate):
    replies = same(
        target,
        say(fe.parse("s", "SELECT a FROM items"), fe.sync()),
        query(change),
        say(deallocate),
        say(deallocate),
        query("ROLLBACK"),
        say(run("s"), fe.sync()),
        say(fe.parse("s", "SELECT 5"), run("s"), fe.sync()),
        setup="CREATE TABLE items (a int)",
    )
    assert replies[2][-2].tag == "DEALLOCATE" and replies[3][-2].sqlstate == "26000"


@pytest.mark.pooler_only
def test_deallocate_does_not_tie(one_server, dbname):
    """psycopg before libpq 17, and Active Record, end their statements so."""
    with connected(one_server, dbname) as client, connected(one_server, dbname) as other:
        client.ask(fe.parse("s", "SELECT 1"), fe.sync())
        client.ask(fe.extended("DEALLOCATE s"), fe.sync())
        client.ask(fe.parse("s", "SELECT 1"), fe.sync())
        client.query("DEALLOCATE s")
        assert other.value("SELECT 7") == "7"


def test_rollback_and_prepare_in_one_query(one_server, same):
    """A failed transaction is ended by what the same Query begins with."""
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT 'mine'"), fe.sync()),
        query("BEGIN; SELECT 1/0"),
        query("ROLLBACK; PREPARE q AS SELECT 'of SQL'; EXECUTE q"),
        say(run("s"), fe.sync()),
        query("SELECT name FROM pg_prepared_statements ORDER BY name"),
    )
    assert kinds(replies[2]) == "CCTDCZ" and replies[3][2].values == [b"mine"]
    assert [m.values for m in replies[4] if m.kind == b"D"] == [[b"q"], [b"s"]]



def test_a_statement_of_a_batch_sent_before_the_last_one_failed(one_server, same):
    """What the first batch would have prepared on the connection is not there when the second one comes to it."""
    failing = fe.extended("SELECT 1/0") + fe.bind("", "mine") + fe.execute() + fe.sync()
    using = fe.bind("", "mine") + fe.execute() + fe.sync()
    replies = same(
        one_server,
        say(fe.parse("mine", "SELECT 'mine'"), fe.sync(), who="a"),
        query("DISCARD ALL", who="b"),
        say(failing, using, who="a"),
        say(until="Z", who="a"),
        say(using, who="a"),
        say(failing, failing, using, who="a"),
        say(until="Z", who="a"),
        say(until="Z", who="a"),
        say(using, who="a"),
        say(fe.parse("other", "SELECT 'mine'"), fe.sync(), using, who="a"),
        say(until="Z", who="a"),
    )
    assert [kinds(replies[n]) for n in (3, 4, 7, 8, 10)] == ["2DCZ"] * 5
