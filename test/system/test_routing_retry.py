"""A read that a standby refuses, or takes with it, is answered by the primary; the client learns nothing of it."""

import contextlib
import struct
import threading

import pytest

from support import frontend as fe
from support.balancer import PgBalancer
from support.comparison import kinds
from support.fake_server import FaultyServer, ScriptedServer, accept_login, read_message
from support.postgres import PostgresCluster
from support.raw_client import ConnectionClosed, connected
from support.routes import Routes, tag
from support.waiting import await_condition

pytestmark = pytest.mark.pooler_only

PRIMARY, STANDBY = [0], [1]
SCHEMA = """
CREATE TABLE items (id int PRIMARY KEY, name text);
INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 100) n;
CREATE SEQUENCE counter;
-- They say less than they do, as functions may.
CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT nextval(''counter'')';
CREATE FUNCTION numbered(int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT nextval(''counter'') + $1';
"""


@pytest.fixture(scope="module")
def pair(session_directory):
    cluster = PostgresCluster(session_directory, standbys=1, log_statement="all")
    cluster.primary.query("CREATE DATABASE routing OWNER app")
    cluster.primary.query(SCHEMA, dbname="routing", user="app")
    cluster.await_replay()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def routes(pair):
    return Routes(pair)


@pytest.fixture
def before(pair, routes, session_directory):
    """before(server, **settings): a pgbalancer with that server in the standby's place, once its reads get there."""
    made = []

    def make(server, **settings):
        backends = [(s.host, s.port) for s in (pair.primary, server)]
        settings = {"num_init_children": 1, "backend_weight0": 0, "sr_check_period": "50ms"} | settings
        balancer = PgBalancer(session_directory, pair, backends=backends, **settings)
        made.append(balancer)
        return balancer

    yield make
    for balancer in made:
        balancer.stop()


@pytest.fixture
def client(pair, before, routes):
    balancer = before(pair.standbys[0])
    routes.await_standby_reads(balancer, "SELECT count(*) FROM items", dbname="routing")
    with connected(balancer, "routing") as client:
        yield client


def errors(messages):
    return [m.sqlstate for m in messages if m.kind == b"E"]


def told(messages):
    """Kinds of messages; that a scripted server has other parameters is told besides."""
    return kinds([m for m in messages if m.kind != b"S"])


def rows(messages):
    return [m.values for m in messages if m.kind == b"D"]


# -- What a standby refuses


def test_refused_and_remembered(client, routes):
    first, second, third = tag(), tag(), tag()
    assert errors(client.query(f"SELECT counted() /* {first} */")) == []
    assert routes.nodes(first) == [0, 1]
    assert errors(client.query(f"SELECT counted() /* {second} */")) == []
    assert routes.nodes(second) == PRIMARY
    assert errors(client.ask(fe.extended(f"SELECT counted() /* {third} */"), fe.sync())) == []
    assert routes.nodes(third) == PRIMARY


def test_in_the_extended_protocol(client, routes):
    word = tag()
    reply = client.ask(fe.extended(f"SELECT counted() AS c, $1::text /* {word} */", [b"x"]), fe.sync())
    assert kinds(reply) == "12TDCZ" and rows(reply)[0][1] == b"x"
    assert routes.nodes(word) == [0, 1]


def test_in_a_deferred_transaction(client, routes):
    word, after = tag(), tag()
    client.query("BEGIN")
    reply = client.query(f"SELECT numbered(id) FROM items WHERE id = 1 /* {word} */")
    assert kinds(reply) == "TDCZ" and reply[-1].status == "T"
    assert routes.nodes(word) == [0, 1]
    client.query(f"SELECT 1 FROM items /* {after} */")
    assert routes.nodes(after) == PRIMARY
    assert client.query("ROLLBACK")[-1].status == "I"


def test_statements_of_the_batch_are_defined_once(client, routes):
    word = tag()
    batch = [
        fe.parse("gone", "SELECT 1"),
        fe.close_statement("gone"),
        fe.parse("mine", f"SELECT counted(), 3 /* {word} */"),
        fe.describe_statement("mine"),
        fe.bind("", "mine"),
        fe.execute(),
    ]
    assert kinds(client.ask(*batch, fe.sync())) == "131tT2DCZ"
    assert routes.nodes(word) == [0, 1]
    assert kinds(client.ask(fe.bind("", "mine"), fe.execute(), fe.sync())) == "2DCZ"
    assert errors(client.ask(fe.bind("", "gone"), fe.sync())) == ["26000"]
    assert errors(client.ask(fe.parse("mine", "SELECT 2"), fe.sync())) == ["42P05"]


def test_only_the_statement_that_was_refused_is_remembered(client, routes):
    word = tag()
    client.ask(fe.extended("SELECT counted(), 4"), fe.extended(f"SELECT 5, name FROM items /* {word} */"), fe.sync())
    again = tag()
    client.ask(fe.extended(f"SELECT 5, name FROM items /* {again} */"), fe.sync())
    await_condition(lambda: client.query(f"SELECT 5, name FROM items /* {again} */") and 1 in routes.nodes(again))


def test_once_rows_have_been_shown_it_fails(client):
    sql = "SELECT CASE WHEN id < 100 THEN id ELSE counted() END FROM (SELECT id FROM items ORDER BY id) i"
    wide = f"SELECT repeat('x', 1000), {sql[7:]}"  # more than the server keeps to itself
    reply = client.query(wide)
    assert errors(reply) == ["25006"] and len(rows(reply)) == 99 and reply[-1].status == "I"


def test_an_error_of_the_statements_own_is_told_once(client, routes):
    word = tag()
    reply = client.query(f"SELECT 1 / (id - 1) FROM items /* {word} */")
    assert kinds(reply) in ("EZ", "TEZ") and errors(reply) == ["22012"]
    assert routes.nodes(word) == STANDBY


def test_an_unlogged_table_made_elsewhere(client, pair, routes):
    word = tag()
    pair.primary.query("CREATE UNLOGGED TABLE light AS SELECT 7 AS n; GRANT SELECT ON light TO app", dbname="routing")
    pair.await_replay()
    try:
        assert client.value(f"SELECT n FROM light /* {word} */") == "7"
        assert routes.nodes(word) == [0, 1]
    finally:
        pair.primary.query("DROP TABLE light", dbname="routing")


def test_a_table_the_standby_does_not_have_yet(client, pair, routes):
    word = tag()
    standby = pair.standbys[0]
    standby.query("SELECT pg_wal_replay_pause()")
    try:
        pair.primary.query("CREATE TABLE young AS SELECT 8 AS n; GRANT SELECT ON young TO app", dbname="routing")
        assert client.value(f"SELECT n FROM young /* {word} */") == "8"
    finally:
        standby.query("SELECT pg_wal_replay_resume()")
        pair.await_replay()
        pair.primary.query("DROP TABLE young", dbname="routing")


def test_a_recovery_conflict(client, pair, routes):
    """Vacuum on the primary takes away rows that a snapshot on the standby still sees."""
    standby = pair.standbys[0]
    standby.set(hot_standby_feedback="off", max_standby_streaming_delay="0")
    standby.reload()
    pair.primary.query("CREATE TABLE vanishing AS SELECT n FROM generate_series(1, 1000) n; GRANT ALL ON vanishing TO app",
                       dbname="routing")  # fmt: skip
    pair.await_replay()
    word = tag()
    slow = f"SELECT count(*) FROM vanishing, generate_series(1, 30000) /* {word} */"
    await_condition(lambda: client.query("SELECT count(*) FROM vanishing") and standby.query(
        "SELECT 1 FROM pg_class WHERE relname = 'vanishing'", dbname="routing"))
    try:
        client.send(fe.query(slow))
        await_condition(lambda: routes.counts(word)[1], 10, "it runs on the standby")

        def conflict():
            pair.primary.query("UPDATE vanishing SET n = n", dbname="routing")
            pair.primary.query("VACUUM vanishing", dbname="routing")
            return routes.counts(word)[0]

        await_condition(conflict, 20, "it runs on the primary")
        reply = client.receive_ready()
        assert errors(reply) == [] and rows(reply) == [[b"30000000"]]
    finally:
        standby.set(hot_standby_feedback="on", max_standby_streaming_delay="30s")
        standby.reload()
        pair.primary.query("DROP TABLE vanishing", dbname="routing")


# -- Standbys that say or do something else


def script(reaction):
    """A standby's conversation: `reaction(connection, sql)` for each Query, or each Sync of a batch."""

    def serve(connection, parameters):
        accept_login(connection)
        text = ""
        while True:
            kind, payload = read_message(connection)
            if kind == b"P":
                text = payload.split(b"\0")[1].decode()
            elif kind == b"Q":
                text = payload[:-1].decode()
            elif kind == b"X":
                return
            if kind in b"QS" and not reaction(connection, text, kind):
                return

    return serve


def error(sqlstate, severity="ERROR", message="no"):
    fields = f"S{severity}\0V{severity}\0C{sqlstate}\0M{message}\0\0"
    return fe.message(b"E", fields.encode())


def description():
    return fe.message(b"T", struct.pack("!h", 1) + b"c\0" + struct.pack("!IhIhih", 0, 0, 25, -1, -1, 0))


def row(value):
    return fe.message(b"D", struct.pack("!hi", 1, len(value)) + value)


READY = fe.message(b"Z", b"I")
NOTICE = fe.message(b"N", b"SNOTICE\0VNOTICE\0C00000\0Mfrom the standby\0\0")


@pytest.fixture
def scripted(pair, before):
    """scripted(reaction): a client whose reads go to such a standby."""
    made = []

    def make(reaction):
        server = ScriptedServer(pair.standbys[0], script(reaction))
        made.append(server)
        balancer = before(server)

        def served():
            with connected(balancer, "routing") as client, contextlib.suppress(ConnectionClosed):
                client.query("SELECT 1")
            return server.connections

        await_condition(served, 10, "the standby is used")
        client = connected(balancer, "routing")
        made.append(client)
        return client

    yield make
    for each in reversed(made):
        each.close()


@pytest.mark.parametrize("sqlstate", ["25006", "0A000", "55000", "40001", "42P01", "53200", "58030", "XX000"])
@pytest.mark.parametrize("first", [b"", description(), NOTICE, NOTICE + description()], ids=["", "T", "N", "NT"])
def test_errors_that_need_not_be_told(scripted, sqlstate, first):
    client = scripted(lambda connection, *_: connection.sendall(first + error(sqlstate) + READY) or True)
    reply = client.query(f"SELECT 'of the primary', '{sqlstate}'")
    assert told(reply) == "TDCZ" and rows(reply) == [[b"of the primary", sqlstate.encode()]]
    assert client.value("SELECT 1") == "1"


def test_replies_come_in_any_pieces(scripted):
    def reaction(connection, *_):
        for byte in NOTICE + description() + error("40001") + READY:
            connection.sendall(bytes([byte]))
        return True

    reply = scripted(reaction).query("SELECT 'of the primary'")
    assert told(reply) == "TDCZ"


@pytest.mark.parametrize("sqlstate", ["22012", "57014", "P0001"])
def test_errors_that_are_told(scripted, sqlstate):
    client = scripted(lambda connection, *_: connection.sendall(NOTICE + description() + error(sqlstate) + READY) or True)
    reply = client.query("SELECT 'of the primary'")
    assert told(reply) == "NTEZ" and errors(reply) == [sqlstate]


def test_held_replies_are_passed_on_in_order(scripted):
    answer = NOTICE + description() + NOTICE + row(b"of the standby") + fe.message(b"C", b"SELECT 1\0") + READY
    reply = scripted(lambda connection, *_: connection.sendall(answer) or True).query("SELECT 'of the primary'")
    assert told(reply) == "NTNDCZ" and rows(reply) == [[b"of the standby"]]


def test_an_error_after_a_row_is_told(scripted):
    answer = description() + row(b"of the standby") + error("40001") + READY
    reply = scripted(lambda connection, *_: connection.sendall(answer) or True).query("SELECT 'of the primary'")
    assert told(reply) == "TDEZ"


@pytest.mark.parametrize("last_words", [b"", NOTICE, description(), error("57P01", "FATAL"), b"T\0\0", b"?nonsense?"],
                         ids=["silent", "notice", "description", "fatal", "torn", "nonsense"])  # fmt: skip
def test_a_standby_that_goes_away(scripted, last_words):
    client = scripted(lambda connection, *_: connection.sendall(last_words))
    reply = client.query("SELECT 'of the primary'")
    assert told(reply) == "TDCZ" and rows(reply) == [[b"of the primary"]]
    reply = client.ask(fe.extended("SELECT 'again'"), fe.sync())
    assert told(reply) == "12TDCZ" and rows(reply) == [[b"again"]]


def test_a_standby_that_goes_away_within_the_answer(scripted):
    client = scripted(lambda connection, *_: connection.sendall(description() + row(b"of the standby")))
    with pytest.raises(ConnectionClosed) as closed:
        client.query("SELECT 'of the primary'")
    assert told(closed.value.messages) == "TDE" and errors(closed.value.messages) == ["08006"]


def test_a_standby_that_refuses_the_sessions_settings(scripted):
    def reaction(connection, sql, kind):
        if sql.startswith("SET"):
            connection.sendall(error("22023") + READY)
        else:
            connection.sendall(description() + row(b"of the standby") + fe.message(b"C", b"SELECT 1\0") + READY)
        return True

    client = scripted(reaction)
    assert client.value("SELECT 'of the primary'") == "of the standby"
    client.query("SET TimeZone = 'Pacific/Auckland'")
    assert client.value("SELECT 'of the primary'") == "of the primary"
    assert client.value("SHOW TimeZone") == "Pacific/Auckland"


def test_a_standby_that_admits_nobody(pair, before):
    server = ScriptedServer(pair.standbys[0], lambda connection, _: connection.sendall(error("53300", "FATAL")))
    with server:
        balancer = before(server)

        def tried():
            with connected(balancer, "routing") as client:
                assert client.value("SELECT 'of the primary'") == "of the primary"
            return server.connections

        await_condition(tried, 10, "the standby was tried")


def test_a_standby_that_never_answers(scripted, pair):
    """When health has found it down, the primary is asked instead."""
    asked = threading.Event()

    def reaction(connection, sql, kind):
        if "unanswered" in sql:
            asked.set()
        else:
            connection.sendall(description() + row(b"x") + fe.message(b"C", b"SELECT 1\0") + READY)
        return True

    client = scripted(reaction)
    client.send(fe.query("SELECT 'of the primary', 'unanswered'"))
    assert asked.wait(10)
    standby = pair.standbys[0]
    standby.stop()
    try:
        assert rows(client.receive_ready()) == [[b"of the primary", b"unanswered"]]
    finally:
        standby.start()


def test_cut_at_every_byte(pair, before, routes):
    """Whatever is lost with the connection: either the whole right answer, or the end of the session."""
    with FaultyServer(pair.standbys[0]) as server:
        balancer = before(server)
        routes.await_standby_reads(balancer, "SELECT count(*) FROM items", dbname="routing")
        ask = fe.extended("SELECT name FROM items WHERE id = $1::int", [b"5"]) + fe.sync()

        def close_idle():
            """The next read needs a new connection to the standby."""
            pair.standbys[0].query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
            await_condition(lambda: ("1", "routing") not in [
                (row["backend_id"], row["database"]) for row in balancer.show("POOL_POOLS")])

        close_idle()
        server.bytes_from_server = 0
        with connected(balancer, "routing") as client:
            assert kinds(client.ask(ask)) == "12TDCZ"
        whole = server.bytes_from_server
        assert whole > 100
        complete = torn = 0
        for cut in range(whole - 75, whole):
            server.cut_after = cut
            close_idle()
            with connected(balancer, "routing") as client:
                try:
                    reply = client.ask(ask)
                    assert told(reply) == "12TDCZ" and rows(reply) == [[b"item 5"]]
                    complete += 1
                except ConnectionClosed as closed:
                    assert kinds(closed.messages).startswith("12T")
                    torn += 1
        assert complete > 30 and torn > 0
