"""What poolers get wrong in the extended protocol: each sequence of messages must have PostgreSQL's own replies."""

import struct

import pytest

from support import frontend as fe
from support.comparison import hold, kinds, query, say
from support.raw_client import RawClient, connected

ITEMS = "CREATE TABLE items (id int PRIMARY KEY, name text)"
FILLED = f"{ITEMS}; INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 10) i"


def count(table="items"):
    return query(f"SELECT count(*) FROM {table}")


def counted(reply):
    return int(next(m for m in reply if m.kind == b"D").values[0])


# Pipelines


def test_pipeline_up_to_sync_is_one_transaction(target, same):
    replies = same(
        target,
        say(
            fe.extended("INSERT INTO items VALUES (1)"),
            fe.extended("SELECT 1/0"),
            fe.extended("INSERT INTO items VALUES (2)"),
            fe.sync(),
        ),
        count(),
        setup=ITEMS,
    )
    assert kinds(replies[0]) == "12nC1EZ" and counted(replies[1]) == 0


def test_begin_inside_a_pipeline_takes_what_came_before_along(target, same):
    replies = same(
        target,
        say(fe.extended("INSERT INTO items VALUES (1)"), fe.extended("BEGIN"), fe.sync()),
        query("ROLLBACK"),
        count(),
        setup=ITEMS,
    )
    assert replies[0][-1].status == "T" and counted(replies[2]) == 0


def test_commit_inside_a_pipeline(target, same):
    replies = same(
        target,
        say(
            fe.extended("BEGIN"),
            fe.extended("INSERT INTO items VALUES (1)"),
            fe.extended("COMMIT"),
            fe.extended("INSERT INTO items VALUES (2)"),
            fe.extended("SELECT 1/0"),
            fe.sync(),
        ),
        count(),
        setup=ITEMS,
    )
    assert counted(replies[1]) == 1


def test_everything_after_an_error_is_skipped_up_to_sync(target, same):
    replies = same(
        target,
        say(
            fe.parse("good", "SELECT 1"),
            fe.parse("bad", "SELEC 1"),
            fe.parse("never", "SELECT 2"),
            fe.bind("", "good"),
            fe.execute(),
            fe.close_statement("good"),
            fe.query("SELECT 'skipped too'"),
            fe.flush(),
            fe.sync(),
        ),
        say(fe.bind("", "good"), fe.execute(), fe.sync()),
        say(fe.bind("", "never"), fe.execute(), fe.sync()),
    )
    assert kinds(replies[0]) == "1EZ" and kinds(replies[1]) == "2DCZ" and replies[2][0].sqlstate == "26000"


def test_several_failing_pipelines_in_one_write(target, same):
    bad = fe.extended("SELECT 1/0") + fe.sync()
    good = fe.extended("SELECT 7") + fe.sync()
    replies = same(target, say(bad, good, bad, good), say(until="Z"), say(until="Z"), say(until="Z"))
    assert [kinds(reply) for reply in replies] == ["1EZ", "12TDCZ", "1EZ", "12TDCZ"]


def test_sync_alone_and_many(target, same):
    replies = same(target, say(fe.sync() * 3), say(until="Z"), say(until="Z"), query("SELECT 1"))
    assert [kinds(reply) for reply in replies] == ["Z", "Z", "Z", "TDCZ"]


def test_statements_in_one_pipeline_see_each_other(target, same):
    replies = same(
        target,
        say(
            fe.extended("CREATE TABLE made (a int)"),
            fe.extended("INSERT INTO made VALUES (1), (2)"),
            fe.extended("SELECT sum(a) FROM made"),
            fe.sync(),
        ),
        count("made"),
    )
    assert counted(replies[1]) == 2


def test_reply_stream_of_a_long_pipeline(target, same):
    one = b"".join(fe.extended("SELECT $1::int", [str(i).encode()]) for i in range(300))
    (reply,) = same(target, say(one, fe.sync()))
    assert [m.values for m in reply if m.kind == b"D"] == [[str(i).encode()] for i in range(300)]


# Flush


def test_flush_brings_answers_without_sync(target, same):
    same(
        target,
        say(fe.parse("s", "SELECT $1::int"), fe.flush(), until="1"),
        say(fe.describe_statement("s"), fe.flush(), until="T"),
        say(fe.bind("", "s", [b"5"]), fe.flush(), until="2"),
        say(fe.execute(), fe.flush(), until="C"),
        say(fe.sync()),
    )


def test_flush_after_an_error_brings_the_error_only(target, same):
    replies = same(
        target,
        say(fe.extended("SELECT 1/0"), fe.flush(), until="E"),
        say(fe.extended("SELECT 1"), fe.flush(), fe.sync()),
        query("SELECT 2"),
    )
    assert kinds(replies[1]) == "Z"


def test_write_flushed_and_not_yet_synced_is_not_committed(target, same):
    replies = same(
        target,
        say(fe.extended("INSERT INTO items VALUES (1)"), fe.flush(), until="C"),
        query("SELECT count(*) FROM items", who="b"),
        say(fe.sync()),
        query("SELECT count(*) FROM items", who="b"),
        setup=ITEMS,
    )
    assert counted(replies[1]) == 0 and counted(replies[3]) == 1


# Simple and extended protocol mixed


def test_simple_query_before_sync(target, same):
    same(
        target,
        say(fe.extended("INSERT INTO items VALUES (1)"), fe.query("SELECT count(*) FROM items")),
        say(fe.sync()),
        count(),
        setup=ITEMS,
    )


def test_simple_query_between_parse_and_bind_forgets_the_unnamed_statement(target, same):
    replies = same(
        target,
        say(fe.parse("", "SELECT 1"), fe.sync()),
        query("SELECT 2"),
        say(fe.bind(), fe.execute(), fe.sync()),
    )
    assert replies[2][0].sqlstate == "26000"


def test_unnamed_statement_lives_until_the_next_parse(target, same):
    replies = same(
        target,
        say(fe.parse("", "SELECT $1::int"), fe.sync()),
        say(fe.bind(values=[b"1"]), fe.execute(), fe.sync()),
        say(fe.parse("named", "SELECT 'x'"), fe.sync()),
        say(fe.bind(values=[b"2"]), fe.execute(), fe.sync()),
        say(fe.parse("", "SELEC"), fe.sync()),
        say(fe.bind(values=[b"3"]), fe.execute(), fe.sync()),
    )
    assert replies[3][1].values == [b"2"] and kinds(replies[5]) == "EZ"


def test_unnamed_statement_survives_other_clients(single_server_balancer, same):
    replies = same(
        single_server_balancer,
        say(fe.parse("", "SELECT 'a' || $1::text"), fe.sync()),
        say(fe.parse("", "SELECT 'b'"), fe.bind(), fe.execute(), fe.sync(), who="b"),
        say(fe.bind(values=[b"!"]), fe.execute(), fe.sync()),
    )
    assert replies[2][1].values == [b"a!"]


def test_multi_statement_query_is_one_transaction(target, same):
    replies = same(
        target,
        query("INSERT INTO items VALUES (1); INSERT INTO items VALUES (2); SELECT 1/0; INSERT INTO items VALUES (3)"),
        count(),
        query("INSERT INTO items VALUES (4); COMMIT; INSERT INTO items VALUES (5); SELECT 1/0"),
        count(),
        query("BEGIN; INSERT INTO items VALUES (6)"),
        query("SELECT 1/0"),
        query("SELECT 1"),
        query("ROLLBACK; SELECT 'after'"),
        count(),
        setup=ITEMS,
    )
    assert counted(replies[1]) == 0 and counted(replies[3]) == 1


@pytest.mark.parametrize(
    "sql", ["", ";", " -- nothing\n", "/* nothing */", ";;SELECT 1;;", "SELEC", "SELECT 'unfinished", "SELECT 1\\;"]
)
def test_queries_that_are_hardly_any(target, same, sql):
    same(target, query(sql), say(fe.extended(sql), fe.sync()), query("SELECT 1"))


# Statements and portals


def test_describe_of_a_statement_before_any_bind(target, same):
    replies = same(
        target,
        say(fe.parse("s", "SELECT $1::int AS number, $2 || 'x' AS text"), fe.describe_statement("s"), fe.sync()),
        say(fe.describe_statement("s"), fe.sync()),
        say(fe.parse("i", "INSERT INTO items VALUES ($1)"), fe.describe_statement("i"), fe.sync()),
        setup=ITEMS,
    )
    assert kinds(replies[0]) == "1tTZ" and kinds(replies[2]) == "1tnZ"


def test_unknown_names(target, same):
    replies = same(
        target,
        say(fe.close_statement("nobody"), fe.close_portal("nobody"), fe.close_statement(), fe.close_portal(), fe.sync()),
        say(fe.bind("", "nobody"), fe.sync()),
        say(fe.execute("nobody"), fe.sync()),
        say(fe.describe_statement("nobody"), fe.sync()),
        say(fe.describe_portal("nobody"), fe.sync()),
        say(fe.bind(), fe.sync()),
        say(fe.execute(), fe.sync()),
    )
    assert kinds(replies[0]) == "3333Z"
    assert [reply[0].sqlstate for reply in replies[1:]] == ["26000", "34000", "26000", "34000", "26000", "34000"]


def test_statement_name_taken(target, same):
    replies = same(
        target,
        say(fe.parse("s", "SELECT 1"), fe.sync()),
        say(fe.parse("s", "SELECT 2"), fe.sync()),
        say(fe.parse("s", "SELECT 3"), fe.bind("", "s"), fe.execute(), fe.sync()),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
        say(fe.close_statement("s"), fe.parse("s", "SELECT 4"), fe.bind("", "s"), fe.execute(), fe.sync()),
    )
    assert replies[1][0].sqlstate == "42P05" and replies[3][1].values == [b"1"] and replies[4][3].values == [b"4"]


def test_statement_of_a_failed_pipeline_survives(target, same):
    """A Parse that succeeded stays, whatever came after it in the same pipeline."""
    replies = same(
        target,
        say(fe.parse("kept", "SELECT 'kept'"), fe.extended("SELECT 1/0"), fe.sync()),
        say(fe.bind("", "kept"), fe.execute(), fe.sync()),
        query("BEGIN"),
        say(fe.parse("kept2", "SELECT 'kept too'"), fe.sync()),
        query("ROLLBACK"),
        say(fe.bind("", "kept2"), fe.execute(), fe.sync()),
    )
    assert replies[1][1].values == [b"kept"] and replies[5][1].values == [b"kept too"]


def test_close_skipped_by_an_error_keeps_the_statement(target, same):
    replies = same(
        target,
        say(fe.parse("s", "SELECT 1"), fe.sync()),
        say(fe.extended("SELECT 1/0"), fe.close_statement("s"), fe.sync()),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
    )
    assert kinds(replies[2]) == "2DCZ"


def test_portals_live_until_the_end_of_the_transaction(target, same):
    portal = fe.bind("p", "s") + fe.execute("p", 3)
    replies = same(
        target,
        say(fe.parse("s", "SELECT id FROM items ORDER BY id"), fe.sync()),
        say(portal, fe.sync()),
        say(fe.execute("p", 3), fe.sync()),
        query("BEGIN"),
        say(portal, fe.sync()),
        say(fe.execute("p", 3), fe.sync()),
        say(fe.describe_portal("p"), fe.execute("p", 0), fe.sync()),
        say(fe.execute("p", 0), fe.sync()),
        say(fe.bind("p", "s"), fe.sync()),
        query("ROLLBACK"),
        say(fe.execute("p", 3), fe.sync()),
        setup=FILLED,
    )
    assert kinds(replies[1]) == "2DDDsZ" and replies[2][0].sqlstate == "34000"
    assert kinds(replies[5]) == "DDDsZ" and kinds(replies[6]) == "TDDDDCZ" and replies[-1][0].sqlstate == "34000"


def test_unnamed_portal_is_replaced_and_named_is_not(target, same):
    same(
        target,
        query("BEGIN"),
        say(fe.parse("s", "SELECT id FROM items ORDER BY id"), fe.bind("", "s"), fe.execute("", 2), fe.sync()),
        say(fe.bind("", "s"), fe.execute("", 2), fe.sync()),
        say(fe.bind("q", "s"), fe.execute("q", 1), fe.sync()),
        say(fe.close_portal("q"), fe.bind("q", "s"), fe.execute("q", 1), fe.sync()),
        query("SELECT 'the unnamed portal ends here'"),
        say(fe.execute("", 2), fe.sync()),
        setup=FILLED,
    )


def test_portals_and_sql_cursors_are_the_same_thing(target, same):
    same(
        target,
        query("BEGIN"),
        say(fe.parse("", "SELECT id FROM items ORDER BY id"), fe.bind("c"), fe.execute("c", 2), fe.sync()),
        query("FETCH 2 FROM c"),
        query("DECLARE d CURSOR FOR SELECT name FROM items ORDER BY id"),
        say(fe.execute("d", 2), fe.sync()),
        query("CLOSE ALL"),
        say(fe.execute("c", 2), fe.sync()),
        query("COMMIT"),
        setup=FILLED,
    )


def test_rows_of_a_returning_portal_come_in_pieces(target, same):
    replies = same(
        target,
        query("BEGIN"),
        say(fe.parse("", "UPDATE items SET name = 'x' RETURNING id"), fe.bind(), fe.execute("", 4), fe.sync()),
        query("COMMIT"),
        query("SELECT count(*) FROM items WHERE name = 'x'"),
        setup=FILLED,
    )
    assert counted(replies[3]) == 10


@pytest.mark.parametrize(
    "bind",
    [
        fe.bind("", "s"),
        fe.bind("", "s", [b"1", b"2"]),
        fe.bind("", "s", [b"not a number"]),
        fe.bind("", "s", [b"\0\0\0\7"], [1]),
        fe.bind("", "s", [b"\0\0\7"], [1]),
        fe.bind("", "s", [b"7"], [0], [1]),
        fe.bind("", "s", [b"7"], [0], [1, 1]),
        fe.bind("", "s", [b"7"], [9]),
        fe.bind("", "s", [None]),
    ],
    ids=["too few", "too many", "not a number", "binary", "binary of wrong size", "binary result", "too many result formats",
         "unknown format", "null"],
)  # fmt: skip
def test_parameters(target, same, bind):
    same(
        target,
        say(fe.parse("s", "SELECT $1::int + 1"), fe.sync()),
        say(bind, fe.describe_portal(), fe.execute(), fe.sync()),
        say(fe.bind("", "s", [b"1"]), fe.execute(), fe.sync()),
    )


def test_parse_with_several_statements(target, same):
    (reply, _) = same(target, say(fe.extended("SELECT 1; SELECT 2"), fe.sync()), query("SELECT 3"))
    assert reply[0].sqlstate == "42601"


def test_parameter_types_are_honoured(target, same):
    same(
        target,
        say(fe.parse("s", "SELECT $1", [23]), fe.describe_statement("s"), fe.bind("", "s", [b"5"]), fe.execute(), fe.sync()),
        say(fe.parse("t", "SELECT $1", [25]), fe.describe_statement("t"), fe.bind("", "t", [b"5"]), fe.execute(), fe.sync()),
        say(fe.parse("u", "SELECT $1", [0]), fe.describe_statement("u"), fe.sync()),
        say(fe.parse("v", "SELECT $1", [99999]), fe.sync()),
    )


def test_invalid_encoding_in_text_and_values(target, same):
    replies = same(
        target,
        say(fe.query(b"SELECT '\xff'")),
        say(fe.parse("", b"SELECT '\xff'"), fe.sync()),
        say(fe.parse("", "SELECT $1::text"), fe.bind(values=[b"\xff"]), fe.execute(), fe.sync()),
        query("SELECT 1"),
    )
    assert [m.sqlstate for reply in replies[:3] for m in reply if m.kind == b"E"] == ["22021"] * 3


# Commands that reach protocol-level statements


@pytest.mark.parametrize("command", ["DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE s", "DISCARD PLANS", "CLOSE ALL"])
def test_sql_that_ends_prepared_statements(target, same, command):
    same(
        target,
        say(fe.parse("s", "SELECT 1"), fe.parse("t", "SELECT 2"), fe.sync()),
        say(fe.bind("", "s"), fe.execute(), fe.bind("", "t"), fe.execute(), fe.sync()),
        query(command),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
        say(fe.bind("", "t"), fe.execute(), fe.sync()),
        say(fe.parse("s", "SELECT 3"), fe.bind("", "s"), fe.execute(), fe.sync()),
    )


def test_deallocate_in_a_transaction_that_rolls_back_stays(target, same):
    same(
        target,
        say(fe.parse("s", "SELECT 1"), fe.sync()),
        query("BEGIN"),
        query("DEALLOCATE s"),
        query("ROLLBACK"),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
    )


def test_sql_execute_of_a_protocol_statement(target, same):
    replies = same(
        target,
        say(fe.parse("s", "SELECT $1::int * 2"), fe.sync()),
        query("EXECUTE s(21)"),
        query("SELECT name, statement, from_sql FROM pg_prepared_statements"),
        query("PREPARE q AS SELECT 'from sql'"),
        say(fe.bind("", "q"), fe.execute(), fe.sync()),
        say(fe.parse("q", "SELECT 1"), fe.sync()),
        query("SELECT name, from_sql FROM pg_prepared_statements ORDER BY name"),
        query("DEALLOCATE q"),
        say(fe.bind("", "q"), fe.execute(), fe.sync()),
    )
    assert replies[1][1].values == [b"42"]


def test_protocol_deallocate_through_the_extended_protocol(target, same):
    same(
        target,
        say(fe.parse("s", "SELECT 1"), fe.sync()),
        say(fe.extended("DEALLOCATE ALL"), fe.sync()),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
    )


def test_cached_plan_must_not_change_result_type(target, same):
    replies = same(
        target,
        say(fe.parse("s", "SELECT * FROM items WHERE id = $1"), fe.describe_statement("s"), fe.sync()),
        say(fe.bind("", "s", [b"1"]), fe.execute(), fe.sync()),
        query("ALTER TABLE items ADD COLUMN more int DEFAULT 3", who="b"),
        say(fe.bind("", "s", [b"1"]), fe.execute(), fe.sync()),
        say(fe.parse("t", "SELECT * FROM items WHERE id = $1"), fe.bind("", "t", [b"1"]), fe.execute(), fe.sync()),
        setup=FILLED,
    )
    assert replies[3][0].sqlstate == "0A000"


# COPY


def test_copy_in_by_the_extended_protocol_ignores_an_early_sync(target, same):
    replies = same(
        target,
        say(fe.parse("", "COPY items FROM STDIN"), fe.bind(), fe.execute(), fe.sync(), until="G"),
        say(fe.copy_data(b"1\tone\n"), fe.flush(), fe.copy_data(b"2\ttwo\n"), fe.sync(), fe.copy_done(), fe.sync()),
        count(),
        setup=ITEMS,
    )
    assert kinds(replies[1]) == "CZ" and counted(replies[2]) == 2


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_copy_fail(target, same, extended):
    begin = fe.parse("", "COPY items FROM STDIN") + fe.bind() + fe.execute() if extended else fe.query("COPY items FROM STDIN")
    replies = same(
        target,
        say(begin, fe.flush() if extended else b"", until="G"),
        say(fe.copy_data(b"1\tone\n"), fe.copy_fail("changed my mind"), fe.sync() if extended else b""),
        count(),
        setup=ITEMS,
    )
    assert replies[1][0].sqlstate == "57014" and counted(replies[2]) == 0


def test_copy_data_after_an_error_is_thrown_away(target, same):
    rows = fe.copy_data(b"1\tone\nnonsense\ttwo\n") + b"".join(fe.copy_data(b"%d\tx\n" % i) for i in range(100))
    replies = same(
        target,
        say(fe.query("COPY items FROM STDIN"), until="G"),
        say(rows, fe.copy_done()),
        count(),
        setup=ITEMS,
    )
    assert replies[1][0].sqlstate == "22P02" and counted(replies[2]) == 0


def test_copy_messages_outside_copy_are_ignored(target, same):
    same(target, say(fe.copy_data(b"x"), fe.copy_done(), fe.copy_fail("x"), fe.query("SELECT 1")), query("SELECT 2"))


def test_another_message_during_copy_in_fails_the_copy(target, same):
    replies = same(
        target,
        say(fe.query("COPY items FROM STDIN"), until="G"),
        say(fe.copy_data(b"1\tone\n"), fe.query("SELECT 'not now'"), until="E"),
        setup=ITEMS,
    )
    assert replies[1][0].kind == b"E"


def test_copy_both_directions_in_one_query(target, same):
    replies = same(
        target,
        say(fe.query("COPY items FROM STDIN; COPY items TO STDOUT; SELECT 'end'"), until="G"),
        say(fe.copy_data(b"1\tone\n"), fe.copy_done()),
        setup=ITEMS,
    )
    assert kinds(replies[1]) == "CHdcCTDCZ"


# Function call


def test_function_call(target, same):
    plus, length = 177, 1257  # int4pl(int, int), textlen(text)
    replies = same(
        target,
        say(fe.function_call(plus, [b"20", b"22"])),
        say(fe.function_call(length, [b"four"], [0], 1)),
        say(fe.function_call(length, [None])),
        say(fe.function_call(99999999, [])),
        query("BEGIN"),
        say(fe.function_call(length, [b"inside"])),
        say(fe.function_call(length, [])),
        say(fe.function_call(length, [b"failed"])),
        query("ROLLBACK"),
    )
    assert kinds(replies[0]) == "VZ" and replies[6][-1].status == "E"


# What comes unasked


def test_notices_and_parameter_status_come_where_they_belong(target, same):
    replies = same(
        target,
        query("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$"),
        query("SET application_name = 'renamed'; SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'"),
        say(fe.extended("SET application_name = 'again'"), fe.extended("SELECT 1"), fe.sync()),
        query("BEGIN; SET application_name = 'gone'"),
        query("ROLLBACK"),
        query("SELECT set_config('application_name', 'by function', false)"),
        query("SET client_min_messages = error"),
        query("DO $$ BEGIN RAISE NOTICE 'unheard'; END $$"),
    )
    assert kinds(replies[0]) == "NNCZ" and "S" in kinds(replies[1]) and "S" in kinds(replies[4])


def test_errors_carry_all_their_fields(target, same):
    replies = same(
        target,
        query("INSERT INTO items VALUES (1), (1)"),
        query("SELECT * FROM items WHERE nam = 1"),
        query("DO $$ BEGIN RAISE EXCEPTION 'm' USING DETAIL = 'd', HINT = 'h', ERRCODE = 'XX999', TABLE = 't'; END $$"),
        setup=ITEMS,
    )
    assert replies[0][0].fields["n"] == "items_pkey"


def test_notification_between_statements(target, same):
    replies = same(
        target,
        query("LISTEN channel"),
        query("NOTIFY channel, 'to myself'"),
        query("NOTIFY channel, 'from another'", who="b"),
        say(until="A"),
        query("BEGIN; NOTIFY channel, 'held back'"),
        query("COMMIT"),
        query("UNLISTEN *"),
    )
    assert kinds(replies[1]) == "CAZ" and kinds(replies[5]) == "CAZ"


# Startup


@pytest.mark.parametrize("version", [(3, 0), (3, 1), (3, 2), (3, 9999)])
def test_later_minor_versions_are_negotiated(cluster, target, dbname, version):
    replies = []
    for server in (cluster.primary, target):
        with RawClient(server) as client:
            client.send(fe.startup({"user": "app", "database": dbname, "_pq_.unknown_option": "1"}, version))
            replies.append([m.comparable for m in client.receive_until(b"Z", b"E")])
            assert client.value("SELECT 1") == "1"
    ours, theirs = (sorted(map(repr, reply)) for reply in reversed(replies))
    assert ours == theirs
    assert any("NegotiateProtocolVersion" in message for message in theirs)


@pytest.mark.parametrize("version", [(2, 0), (4, 0), (1234, 1)])
def test_other_major_versions_are_refused(cluster, target, version):
    with RawClient(target) as client:
        client.send(fe.startup({"user": "app", "database": "postgres"}, version))
        answer = b""
        while part := client.socket.recv(1000):
            answer += part
        # Version 2 clients get the error in their own format, which has no length.
        assert answer[:1] == b"E" and b"unsupported frontend protocol" in answer


def test_startup_reports_what_the_server_reports(cluster, target, dbname):
    with connected(cluster.primary, dbname) as direct, connected(target, dbname) as pooled:
        assert pooled.parameters == direct.parameters


ENCRYPTION_REQUESTS = pytest.mark.parametrize("request_bytes", [fe.SSL_REQUEST, fe.GSSENC_REQUEST], ids=["SSL", "GSS"])


@pytest.mark.pooler_only
@ENCRYPTION_REQUESTS
def test_encryption_is_declined_and_the_client_may_go_on(target, dbname, request_bytes):
    with RawClient(target) as client:
        client.send(request_bytes)
        assert client.socket.recv(1) == b"N"
        assert client.start(dbname)[-1].kind == b"Z"


@pytest.mark.pooler_only
@ENCRYPTION_REQUESTS
def test_bytes_that_came_with_an_encryption_request_are_not_obeyed(target, dbname, request_bytes):
    with RawClient(target) as client:
        client.send(request_bytes + fe.startup({"user": "app", "database": dbname}) + fe.query("CREATE TABLE injected ()"))
        answer = b""
        while part := client.socket.recv(1000):
            answer += part
        assert answer[:1] in (b"N", b"E", b"") and b"Z" not in answer
    with connected(target, dbname) as client:
        assert client.value("SELECT to_regclass('injected')") is None


def test_unknown_message_type_ends_the_session(cluster, target, dbname):
    for server in (cluster.primary, target):
        with connected(server, dbname) as client:
            client.send(fe.message(b"!", b"what"))
            messages = client.receive_to_end()
            assert [(m.sqlstate, m.fields["S"]) for m in messages] == [("08P01", "FATAL")]


# Framing


CONVERSATION = [
    query("SELECT 'one'; SELECT 2"),
    say(
        fe.parse("s", "SELECT $1::text || $2::text"),
        fe.describe_statement("s"),
        fe.bind("", "s", [b"left", b"right"]),
        fe.describe_portal(),
        fe.execute(),
        fe.sync(),
    ),
    query("BEGIN"),
    say(fe.query("COPY items FROM STDIN"), until="G"),
    say(fe.copy_data(b"1\tone\n"), fe.copy_data(b"2\ttwo\n"), fe.copy_done()),
    query("COPY items TO STDOUT"),
    query("COMMIT"),
    say(fe.extended("SELECT 1/0"), fe.sync()),
]


def test_messages_split_at_every_byte(target, same):
    same(target, *CONVERSATION, setup=ITEMS, split=True)


def test_conversation_cut_in_two_at_each_byte(target, dbname, cluster):
    """One write of a whole pipeline, cut once, at every possible place."""
    data = fe.parse("", "SELECT $1::int") + fe.bind(values=[b"4711"]) + fe.execute() + fe.sync() + fe.query("SELECT 'x'")
    with connected(cluster.primary, dbname) as direct:
        direct.send(data)
        expected = [m.comparable for m in direct.receive_ready() + direct.receive_ready()]
    with connected(target, dbname) as client:
        for cut in range(1, len(data)):
            client.send_split(data, [cut], pause=0.0005)
            assert [m.comparable for m in client.receive_ready() + client.receive_ready()] == expected, f"cut at {cut}"


def test_terminate_closes_without_a_word(target, dbname):
    with connected(target, dbname) as client:
        client.send(fe.query("SELECT 1"), fe.terminate())
        assert kinds(client.receive_to_end()) == "TDCZ"


def test_backend_key_is_given_and_differs(target, dbname):
    with connected(target, dbname) as one, connected(target, dbname) as two:
        assert one.key is not None and one.key != two.key
        assert struct.pack("!i", one.key[0]) + one.key[1] != struct.pack("!i", two.key[0]) + two.key[1]


def test_hold_tells_a_closed_connection(cluster):
    """The comparison itself: a server that ends the session must not look like one that answers."""
    end_myself = [query("SELECT pg_terminate_backend(pg_backend_pid())")]
    (reply,) = hold(cluster.primary, "postgres", end_myself, {"a": {"user": "postgres"}})
    assert kinds(reply).endswith("E<")
