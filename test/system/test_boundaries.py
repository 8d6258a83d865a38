"""Where two duties meet: a cancel and a deferred BEGIN, an error and half a message, an end and a full queue.

Each of these seams has leaked before. Most sessions here share one server connection, so that whatever a mistake leaves
on it, or in what is remembered about it, meets the next session.
"""

import contextlib
import random
import socket
import threading
import time

import pytest

from support import frontend as fe
from support import processes
from support.comparison import kinds, query, say
from support.raw_client import ConnectionClosed, RawClient, cancel, connected
from support.waiting import await_condition


@pytest.fixture(scope="module")
def one_server(module_balancer):
    """One worker with one server connection: every statement of another client means a hand-over."""
    return module_balancer(num_init_children=1, max_pool=1)


def sqlstates(messages):
    return [m.sqlstate for m in messages if m.kind == b"E"]


def shown(messages):
    return next(m for m in messages if m.kind == b"D").values[0]


def await_blocked_writer(cluster, dbname):
    """Until a server process cannot send: everything between it and the client that does not read is full."""
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event = 'ClientWrite'"
    await_condition(lambda: cluster.primary.scalar(blocked, [dbname]) == 1, what="a server process cannot send")


# Failed transactions


@pytest.mark.pooler_only
def test_deferred_begin_that_failed_stays_failed_for_the_extended_protocol(one_server, cluster, dbname):
    cluster.primary.query("CREATE TABLE items (id int)", dbname=dbname, user="app")
    with connected(one_server, dbname) as holder, connected(one_server, dbname) as client:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        client.query("BEGIN")
        client.send(fe.query("SELECT 2"))
        assert client.is_silent(0.1)
        cancel(one_server, client.key)
        assert sqlstates(client.receive_ready()) == ["57014"]
        holder.query("COMMIT")
        messages = client.ask(fe.extended("INSERT INTO items VALUES (42)"), fe.sync())
        assert sqlstates(messages) == ["25P02"] and messages[-1].status == "E"
        assert client.query("ROLLBACK")[-1].status == "I"
        assert client.value("SELECT count(*) FROM items") == "0"


@pytest.mark.parametrize("statement", ["EXECUTE s", "DEALLOCATE s"])
def test_sql_on_a_protocol_statement_in_a_failed_transaction(one_server, same, statement):
    """PostgreSQL refuses both without looking, and the statement outlives them."""
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT 5"), fe.sync()),
        query("BEGIN"),
        query("SELECT 1/0"),
        query(statement),
        query("ROLLBACK"),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
    )
    assert sqlstates(replies[3]) == ["25P02"] and shown(replies[5]) == b"5"


def test_reset_in_a_failed_transaction_resets_nothing(module_balancer, same):
    replies = same(
        module_balancer(num_init_children=1, max_pool=1, pool_mode="session"),
        query("SET application_name = 'second'"),
        query("BEGIN"),
        query("SELECT 1/0"),
        query("RESET ALL"),
        query("ROLLBACK"),
        query("SHOW application_name"),
        query("RESET application_name; SELECT 1/0"),
        query("SHOW application_name"),
        parameters={"a": {"application_name": "first"}},
    )
    assert shown(replies[5]) == shown(replies[7]) == b"second"


# Prepared statements


def test_parse_skipped_after_an_error_is_not_taken_for_prepared(one_server, same):
    """Two sessions prepare the same text. One does it behind an error, so that the server never sees it."""
    replies = same(
        one_server,
        say(fe.parse("s1", "SELECT 7"), fe.sync(), who="a"),
        say(fe.extended("SELECT 1/0"), fe.parse("s2", "SELECT 7"), fe.sync(), who="b"),
        say(fe.parse("s9", "SELECT 7"), fe.bind("", "s9"), fe.execute(), fe.sync(), who="b"),
        say(fe.parse("s9", "SELECT 7"), fe.bind("", "s9"), fe.execute(), fe.sync(), who="a"),
        say(fe.bind("", "s2"), fe.execute(), fe.sync(), who="b"),
    )
    assert sqlstates(replies[1]) == ["22012"] and sqlstates(replies[4]) == ["26000"]


def test_name_of_a_failed_parse_is_free_to_the_next_of_the_pipeline(one_server, same):
    replies = same(
        one_server,
        say(fe.parse("s", "SELECT nonsense"), fe.sync(), fe.parse("s", "SELECT 5"), fe.sync()),
        say(),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
    )
    assert kinds(replies[0]) == "EZ" and kinds(replies[1]) == "1Z" and shown(replies[2]) == b"5"


@pytest.mark.pooler_only
def test_parse_of_a_taken_name_keeps_the_server_connection(one_server, dbname):
    with connected(one_server, dbname) as client:
        client.ask(fe.parse("s", "SELECT 1"), fe.sync())
        pids = set()
        for _ in range(5):
            pids.add(client.value("SELECT pg_backend_pid()"))
            assert sqlstates(client.ask(fe.parse("s", "SELECT 1"), fe.sync())) == ["42P05"]
        assert len(pids) == 1


# Settings replayed on a connection that another session had


def test_parts_of_datestyle_set_one_by_one(one_server, same):
    replies = same(
        one_server,
        query("SET datestyle TO German"),
        query("SET datestyle TO YMD"),
        query("SET application_name = 'b'", who="b"),
        query("SHOW datestyle"),
    )
    assert shown(replies[3]) == b"German, YMD"


def test_backslash_in_a_setting_when_strings_do_not_conform(one_server, same):
    replies = same(
        one_server,
        query("SET standard_conforming_strings = off"),
        query("SET application_name = 'a\\'b'"),
        query("SET application_name = 'b'", who="b"),
        query("SHOW application_name"),
    )
    assert shown(replies[3]) == b"a'b"


def test_setting_in_the_clients_encoding(one_server, same):
    replies = same(
        one_server,
        query(b'SET search_path TO "sch\xe9ma", public'),
        query("SET application_name = 'b'", who="b"),
        query("SHOW search_path"),
        parameters={"a": {"client_encoding": "LATIN1"}},
    )
    assert shown(replies[2]) == b'"sch\xe9ma", public'


def test_setting_whose_meaning_depends_on_the_search_path(one_server, same):
    replies = same(
        one_server,
        query("SET search_path = s1, public"),
        query("SET default_text_search_config = mycfg"),
        query("SET application_name = 'b'", who="b"),
        query("SHOW default_text_search_config"),
        setup="CREATE SCHEMA s1; CREATE TEXT SEARCH CONFIGURATION s1.mycfg (COPY = pg_catalog.simple)",
    )
    assert b"mycfg" in shown(replies[3])


SETTERS = """
CREATE FUNCTION set_tenant(v text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('app.tenant', v, false); END $$;
CREATE FUNCTION set_named(n text, v text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config(n, v, false); END $$;
"""


@pytest.mark.pooler_only
@pytest.mark.parametrize(
    "name, statement",
    [
        ("app.tenant", "SELECT set_tenant('5')"),
        ("app.named", "SELECT set_named('app.named', '5')"),
        ("app.perform", "DO $$ BEGIN PERFORM set_config('app.perform', '5', false); END $$"),
        ("app.execute", "DO $$ BEGIN EXECUTE 'SET app.execute = 5'; END $$"),
    ],
)
def test_custom_setting_made_out_of_sight_stays_with_its_session(module_balancer, cluster, dbname, name, statement):
    """Another session sees nothing of it, or waits for the connection it is pinned to; its own session keeps it."""
    balancer = module_balancer(num_init_children=1, max_pool=1, query_wait_timeout="500ms")
    cluster.primary.query(SETTERS, dbname=dbname, user="app")
    setting = f"SELECT current_setting('{name}', true)"
    with connected(balancer, dbname) as client, connected(balancer, dbname) as other:
        client.rows(statement)
        other.send(fe.query(setting))
        messages = other.receive_until(b"D", b"E")
        if messages[-1].kind == b"D":
            assert messages[-1].values == [None]
        else:
            assert sqlstates(messages) == ["53300"]
        assert client.value(setting) == "5"


# Sequences


def test_lastval_of_another_session_is_not_told(one_server, same):
    replies = same(
        one_server,
        query("INSERT INTO serials (a) VALUES (1)", who="a"),
        query("LISTEN channel", who="b"),
        query("SELECT lastval()", who="b"),
        setup="CREATE TABLE serials (id serial, a int)",
    )
    assert sqlstates(replies[2]) == ["55000"]


def test_lastval_after_a_statement_that_moved_no_sequence(one_server, same):
    """What might have drawn a number, and did not, makes nobody else's number one's own."""
    replies = same(
        one_server,
        query("INSERT INTO serials (a) VALUES (1)", who="a"),
        query("INSERT INTO serials (id, a) VALUES (100, 1)", who="b"),
        query("SELECT lastval()", who="b"),
        query("SELECT harmless()", who="c"),
        query("SELECT lastval()", who="c"),
        setup="CREATE TABLE serials (id serial, a int);"
        "CREATE FUNCTION harmless() RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1'",
    )
    assert sqlstates(replies[2]) == ["55000"] and sqlstates(replies[4]) == ["55000"]


def test_lastval_of_ones_own_once_somebody_asks(one_server, same):
    replies = same(
        one_server,
        query("SELECT lastval()", who="b"),
        query("INSERT INTO serials (a) VALUES (1)", who="a"),
        query("SELECT lastval()", who="a"),
        setup="CREATE TABLE serials (id serial, a int)",
    )
    assert replies[2][1].values == [b"1"]


def test_currval_of_ones_own_where_another_session_had_moved_a_sequence(one_server, same):
    """Also when nobody had asked before the sequence was moved."""
    replies = same(
        one_server,
        query("INSERT INTO serials (a) VALUES (1)", who="a"),
        query("SELECT nextval('numbers')", who="b"),
        query("SELECT currval('numbers'), lastval()", who="b"),
        setup="CREATE TABLE serials (id serial, a int); CREATE SEQUENCE numbers START 100",
    )
    assert replies[2][1].values == [b"100", b"100"]


def test_sequence_moved_out_of_sight_by_who_stays_on_its_connection(one_server, same):
    replies = same(
        one_server,
        query("INSERT INTO serials (a) VALUES (1)", who="a"),
        query("CREATE TEMP SEQUENCE numbers START 100", who="b"),
        query("SELECT draw('numbers')", who="b"),
        query("SELECT currval('numbers')", who="b"),
        setup="CREATE TABLE serials (id serial, a int);"
        "CREATE FUNCTION draw(text) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN nextval($1::regclass); END'",
    )
    assert replies[3][1].values == [b"100"]


# Temporary schema


@pytest.mark.parametrize(
    "statement", ["CREATE TEMP TABLE t (a int) ON COMMIT DROP", "DO 'BEGIN CREATE TEMP TABLE t (a int); DROP TABLE t; END'"]
)
def test_temporary_schema_of_another_session_is_not_met(one_server, same, statement):
    """The first transaction that needs a temporary schema cannot be prepared, as it makes it."""
    replies = same(
        one_server,
        query(statement, who="a"),
        query("SET search_path TO 'pg_temp'", who="b"),
        query("BEGIN", who="b"),
        query("SELECT current_schema() ~ 'pg_temp'", who="b"),
        query("PREPARE TRANSACTION 'nothing'", who="b"),
    )
    assert sqlstates(replies[4]) == ["0A000"]


# Waiting and limits


@pytest.mark.pooler_only
def test_function_call_that_waited_too_long_is_answered_in_full(make_balancer, dbname):
    balancer = make_balancer(num_init_children=1, max_pool=1, query_wait_timeout="300ms")
    with connected(balancer, dbname) as holder, connected(balancer, dbname) as client:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        client.send(fe.function_call(1598, []))  # random()
        assert sqlstates(client.receive_until(b"E")) == ["53300"]
        assert client.receive_ready()[-1].status == "I"
        holder.query("COMMIT")
        assert client.value("SELECT 1") == "1"


@pytest.mark.pooler_only
@pytest.mark.parametrize("setting", ["client_idle_limit", "idle_transaction_timeout"])
def test_idle_time_begins_after_the_query(make_balancer, dbname, setting):
    balancer = make_balancer(num_init_children=1, max_pool=1, **{setting: "1s"})
    with connected(balancer, dbname) as client:
        if setting == "idle_transaction_timeout":
            client.query("BEGIN")
        assert sqlstates(client.query("SELECT pg_sleep(1.3)")) == []
        assert client.is_silent(0.2)
        assert client.value("SELECT 1") == "1"
        assert kinds(client.receive_to_end()) == "E"  # the limit still holds


@pytest.mark.pooler_only
@pytest.mark.parametrize("why", ["waits", "does not read"])
def test_reset_of_a_paused_client_gives_its_place_up(make_balancer, cluster, dbname, why):
    """pgbalancer reads nothing from either, so that only the reset itself can tell it."""
    balancer = make_balancer(num_init_children=1, max_pool=1, max_client_conn=2, query_wait_timeout="60s")

    def admitted():
        """A client that was let in, or None. Nobody is told when the place of an ended session is free."""
        client = RawClient(balancer, receive_buffer=4096)
        with contextlib.suppress(ConnectionClosed):
            if client.start(dbname)[-1].kind == b"Z":
                return client
        client.close()
        return None

    with await_condition(admitted) as holder, await_condition(admitted) as client:
        if why == "waits":
            holder.query("BEGIN")
            holder.query("SELECT 1")
            client.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    client.socket.send(fe.query("SELECT 2") * 10000)
        else:
            client.send(fe.query("SELECT repeat('x', 1000) FROM generate_series(1, 30000)"))
            await_blocked_writer(cluster, dbname)
        assert admitted() is None
        client.reset()
        await_condition(admitted, 5, "the place is free").close()
        assert holder.value("SELECT 1") == "1"


# Errors and cancels in the middle


def test_rest_of_a_copy_that_failed_does_not_keep_the_connection(one_server, same):
    """The error comes while half a CopyData message is here; the other half belongs to nothing.

    (ReadyForQuery is passed on when the message is complete: nothing of pgbalancer's own may go into the middle of it.)
    """
    data = fe.copy_data(b"bad\n") + fe.copy_data(b"1\n" * 50000)
    same(
        one_server,
        say(fe.query("COPY items FROM STDIN"), until="G"),
        say(data[:50000], until="E"),
        say(data[50000:], fe.copy_done()),
        query("SELECT count(*) FROM items", who="b"),
        query("SELECT count(*) FROM items"),
        setup="CREATE TABLE items (id int)",
    )


@pytest.mark.pooler_only
def test_cancel_that_comes_late_does_not_pin(one_server, cluster, dbname):
    """Aimed at a statement, it may hit what pgbalancer asks behind it."""
    cluster.primary.query(
        "CREATE FUNCTION nop() RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN 1; END $$",
        dbname=dbname,
        user="app",
    )
    dice = random.Random(1)
    with connected(one_server, dbname) as client:
        for _ in range(200):
            with RawClient(one_server) as courier:
                client.send(fe.query("SELECT nop()"))
                time.sleep(dice.random() * 0.003)
                courier.send(fe.cancel_request(*client.key))
                assert sqlstates(client.receive_ready()) in ([], ["57014"])
                assert courier.receive_to_end() == []
        with connected(one_server, dbname, timeout=3) as other:
            assert other.value("SELECT 1") == "1"  # a pinned connection would not come free


# Ends


def _half_close(client):
    client.socket.shutdown(socket.SHUT_WR)


def _terminate(client):
    client.send(fe.terminate())


@pytest.mark.parametrize("end", [_terminate, _half_close])
def test_slow_reader_that_ended_gets_everything(one_server, dbname, end):
    for rows in range(2000, 7000, 500):
        with RawClient(one_server, receive_buffer=4096) as client:
            client.start(dbname)
            client.send(fe.query(f"SELECT repeat('x', 1000) FROM generate_series(1, {rows})"))
            end(client)
            assert client.drain_ready() > rows * 1000
            assert client.receive_to_end() == []


def test_half_closed_pipeline_behind_a_full_queue_is_answered(one_server, dbname):
    """While the server sleeps nothing is taken from the queue: the end comes behind more than it holds."""
    count = 4500
    with RawClient(one_server, receive_buffer=4096, timeout=20) as client:
        client.start(dbname)

        def speak():
            client.socket.sendall(fe.query("SELECT pg_sleep(0.3)") + fe.query("SELECT repeat('x', 1200)") * count)
            _half_close(client)

        speaker = threading.Thread(target=speak)
        speaker.start()
        messages = client.receive_to_end()
        speaker.join()
        assert kinds(messages) == "TDCZ" * (1 + count)


@pytest.mark.pooler_only
def test_clients_that_leave_while_their_replication_connection_opens(make_balancer, dbname):
    balancer = make_balancer(num_init_children=1, max_pool=4)
    workers = balancer.worker_pids()
    dice = random.Random(1)
    for _ in range(80):
        with RawClient(balancer) as client:
            client.send(fe.startup({"user": "postgres", "database": dbname, "replication": "database"}))
            time.sleep(dice.random() * 0.005)
    with connected(balancer, dbname) as client:
        assert client.value("SELECT 1") == "1"
    assert workers and balancer.worker_pids() == workers, balancer.log_text()[-5000:]


# Fairness


@pytest.mark.pooler_only
def test_long_batch_behind_a_deferred_begin_costs_the_same_per_message(make_balancer, dbname):
    """Looking at all that is kept of the batch with every message of it would take ten times the processor time."""
    balancer = make_balancer(num_init_children=1, max_pool=4)
    (worker,) = balancer.worker_pids()
    count = 1_400_000
    with connected(balancer, dbname) as client, connected(balancer, dbname) as other:
        used = processes.cpu_seconds(worker)
        batch = fe.parse("", "BEGIN") + fe.bind() + fe.describe_portal() * count + fe.execute() + fe.sync()
        speaker = threading.Thread(target=client.socket.sendall, args=[batch])
        speaker.start()
        began = time.monotonic()
        assert other.value("SELECT 1") == "1"
        assert time.monotonic() - began < 1
        # Counted, since so many messages take long to cut: "1", "2", "n" for each Describe, "C" BEGIN, "Z".
        left = 5 + 5 + 5 * count + 11 + 6
        while left > 0 and (data := client.socket.recv(1 << 18)):
            left -= len(data)
        speaker.join()
        assert left == 0 and data.endswith(b"T")
        assert processes.cpu_seconds(worker) - used < 0.4
