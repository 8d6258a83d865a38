"""RESET restores what the session started with at once, wherever it stands: later parts of the same text, block or function see it.

The other clients of a conversation started with other settings and share the only server connection; the oracle is the same
conversation with PostgreSQL directly.
"""

import time

import pytest

from support import frontend as fe
from support.comparison import hold, kinds, query, say
from support.raw_client import RawClient, connected

STARTED = {
    "a": {"application_name": "app a", "search_path": "path_a, public", "DateStyle": "German", "options": "-c work_mem=7MB -c my.own=mine"},
    "b": {"application_name": "app b", "search_path": "path_b, public", "extra_float_digits": "2"},
    "c": {},
}
NAMES = ["application_name", "search_path", "DateStyle", "work_mem", "extra_float_digits", "my.own"]
CHANGE = "SET application_name = x; SET search_path = y, public; SET DateStyle = ISO; SET work_mem = '9MB'; SET my.own = 'z'"
ALL = "SELECT " + ", ".join(f"current_setting('{name}', true)" for name in NAMES)

# Each resets in the middle and looks at the outcome.
FUNCTIONS = f"""
CREATE FUNCTION reset_one() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RESET work_mem; RETURN current_setting('work_mem'); END $$;
CREATE FUNCTION reset_default() RETURNS text LANGUAGE plpgsql AS $$
  BEGIN -- a comment; before the statement
    SET work_mem TO DEFAULT; RETURN current_setting('work_mem'); END $$;
CREATE FUNCTION reset_locally() RETURNS text LANGUAGE plpgsql AS $$
  BEGIN SET LOCAL search_path = DEFAULT; RETURN current_setting('search_path'); END $$;
CREATE FUNCTION reset_all() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RESET ALL; RETURN (SELECT started FROM ({ALL}) started); END $$;
CREATE FUNCTION reset_null() RETURNS text LANGUAGE sql AS $$ SELECT set_config('search_path', NULL, false) $$;
CREATE FUNCTION reset_executed() RETURNS text LANGUAGE plpgsql AS $$
  BEGIN EXECUTE format('RESET %I', 'work_mem'); RETURN current_setting('work_mem'); END $$;
CREATE FUNCTION reset_by_another() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN reset_one(); END $$;
CREATE PROCEDURE reset_called(INOUT value text) LANGUAGE plpgsql AS $$ BEGIN RESET work_mem; value := current_setting('work_mem'); END $$;
CREATE FUNCTION on_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RESET work_mem; NEW.a := current_setting('work_mem'); RETURN NEW; END $$;
CREATE TABLE t (a text);
CREATE TRIGGER resets BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION on_row();
CREATE VIEW v AS SELECT reset_one();
"""

TEXTS = {
    "several statements": "RESET work_mem; SHOW work_mem; SELECT 1; RESET search_path; SHOW search_path",
    "all": f"RESET ALL; {ALL}",
    "to default": "SET work_mem TO DEFAULT; SET search_path = DEFAULT; SHOW work_mem; SHOW search_path",
    "then set": "RESET DateStyle; SET DateStyle = DMY; SHOW DateStyle",
    "set_config": "SELECT set_config('work_mem', NULL, false), current_setting('work_mem')",
    "set_config for a while": "SELECT set_config('search_path', NULL, true), current_setting('search_path')",
    "custom": "RESET my.own; SELECT current_setting('my.own', true)",
    "local": "BEGIN; SET LOCAL work_mem TO DEFAULT; SHOW work_mem; COMMIT; SHOW work_mem",
    "a transaction": "BEGIN; RESET work_mem; SHOW work_mem; COMMIT; SHOW work_mem",
    "rolled back": "BEGIN; RESET work_mem; SHOW work_mem; ROLLBACK; SHOW work_mem",
    "failed": "RESET work_mem; SELECT current_setting('work_mem')::int",
    "left open": "BEGIN; RESET ALL; SHOW search_path",
    "not a startup setting": "SET lock_timeout = 5; RESET lock_timeout; SHOW lock_timeout",
    "comments": "RESET /* x; */ work_mem; -- RESET\nSHOW work_mem",
    "block": "DO $$ BEGIN RESET work_mem; RAISE NOTICE '%', current_setting('work_mem'); END $$",
    "block to default": "DO $$ BEGIN IF true THEN SET search_path TO DEFAULT; END IF; RAISE NOTICE '%', current_setting('search_path'); END $$",
    "block set_config": "DO $$ BEGIN PERFORM set_config('work_mem', null, false); RAISE NOTICE '%', current_setting('work_mem'); END $$",
    "block execute": "DO $$ BEGIN EXECUTE 'RESET ALL'; RAISE NOTICE '%', current_setting('DateStyle'); END $$",
    "block with a function": "DO $$ BEGIN PERFORM reset_by_another(); RAISE NOTICE '%', current_setting('work_mem'); END $$",
    "view pg_settings": "UPDATE pg_settings SET setting = NULL WHERE name = 'work_mem'; SHOW work_mem",
    "function": "SELECT reset_one()",
    "function to default": "SELECT reset_default()",
    "function local": "SELECT reset_locally(), current_setting('search_path')",
    "function all": "SELECT reset_all()",
    "function set_config": "SELECT reset_null()",
    "function execute": "SELECT reset_executed()",
    "function of a function": "SELECT reset_by_another()",
    "procedure": "CALL reset_called('')",
    "trigger": "INSERT INTO t VALUES ('') RETURNING a",
    "view": "SELECT * FROM v",
}


@pytest.fixture(scope="module", params=["transaction", "session"])
def pool_mode(request):
    return request.param


@pytest.fixture(scope="module")
def shared(module_balancer, pool_mode):
    """The server connections are one in transaction mode; in session mode there is one per client that is connected at a time."""
    return module_balancer(num_init_children=1, max_pool=1 if pool_mode == "transaction" else 4, pool_mode=pool_mode)


@pytest.fixture
def agrees(same, shared):
    def run(*steps, **how):
        return same(shared, *steps, parameters=STARTED, setup=FUNCTIONS, **how)

    return run


def everybody():
    return [query(ALL, who) for who in STARTED]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_in_one_text(agrees, text):
    agrees(*everybody(), query(CHANGE), query(ALL, "b"), query(text), query("ROLLBACK"), *everybody(), query(text), query("COMMIT"), *everybody())  # fmt: skip


@pytest.mark.parametrize("text", [text for text in TEXTS.values() if "BEGIN;" not in text], ids=[n for n, t in TEXTS.items() if "BEGIN;" not in t])  # fmt: skip
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_first_in_a_transaction(agrees, text, end):
    agrees(query(CHANGE), query(ALL, "b"), query("BEGIN"), query(text), query(ALL), query(end), *everybody())


SINGLE = {name: text for name, text in TEXTS.items() if name.startswith(("set_config", "block", "function", "procedure", "trigger", "view"))
          and "; " not in text or name.startswith("block")}  # fmt: skip


@pytest.mark.parametrize("text", SINGLE.values(), ids=SINGLE)
def test_extended(agrees, text):
    agrees(
        query(CHANGE),
        query(ALL, "b"),
        say(fe.extended(text), fe.sync()),
        *everybody(),
        query(CHANGE),
        say(fe.parse("s", text), fe.describe_statement("s"), fe.sync()),
        query(ALL, "b"),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
        *everybody(),
        query("BEGIN"),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
        query(ALL),
        query("ROLLBACK"),
        *everybody(),
    )


@pytest.mark.parametrize("reset", ["RESET work_mem", "RESET ALL", "SET work_mem TO DEFAULT", "RESET my.own", "RESET lock_timeout"])
def test_a_batch(agrees, reset):
    rest = [fe.extended(ALL), fe.extended("SHOW work_mem")]
    agrees(
        query(CHANGE),
        query(ALL, "b"),
        say(fe.extended("SELECT 1"), fe.extended(reset), fe.sync()),
        *everybody(),
        query(CHANGE),
        query(ALL, "b"),
        say(fe.extended(reset), *rest, fe.sync()),
        *everybody(),
        query(CHANGE),
        say(fe.extended("BEGIN"), fe.extended(reset), *rest, fe.extended("ROLLBACK"), *rest, fe.sync()),
        *everybody(),
        say(fe.parse("s", reset), fe.sync()),
        say(fe.bind("", "s"), fe.execute(), *rest, fe.sync()),
        *everybody(),
    )


@pytest.mark.parametrize("reset", ["RESET work_mem", "RESET ALL"])
@pytest.mark.parametrize("split", [False, True])
def test_a_reset_alone_needs_nothing_special(agrees, reset, split):
    agrees(
        query(CHANGE),
        query(ALL, "b"),
        say(fe.extended(reset), fe.sync()),
        *everybody(),
        query(CHANGE),
        say(fe.parse("s", reset), fe.describe_statement("s"), fe.flush(), until="n"),
        say(fe.sync()),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
        query("BEGIN"),
        query("SELECT 1"),
        query(reset),
        query(ALL),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
        query("SELECT 1; " + reset),
        query(ALL),
        query("COMMIT"),
        *everybody(),
        split=split,
        timeout=30,
    )


def test_the_other_settings_stay_when_several_statements_end_with_a_reset(agrees):
    agrees(
        query("SET work_mem = '9MB'; SET search_path = y, public"),
        query("BEGIN"),
        query("SELECT 1; RESET search_path"),
        query(ALL),
        query("COMMIT"),
        *everybody(),
        query("CREATE TEMP TABLE held (a int)"),
        query("SET work_mem = '9MB'; SET search_path = y, public"),
        query("SELECT 1; RESET search_path"),
        query(ALL),
    )


def test_pipelined(agrees):
    agrees(
        query(CHANGE),
        query(ALL, "b"),
        say(fe.query("SELECT 1"), fe.query("RESET work_mem; SHOW work_mem")),
        say(until="Z"),
        *everybody(),
        query(CHANGE),
        say(fe.extended("SELECT 1"), fe.sync(), fe.extended("SELECT reset_one()"), fe.sync(), fe.query("SHOW work_mem")),
        say(until="Z"),
        say(until="Z"),
        *everybody(),
    )


def test_reported(agrees):
    """ParameterStatus tells of the startup value, at the place of the RESET, and never of another."""
    agrees(
        query("SET application_name = x; SET DateStyle = ISO"),
        query("RESET application_name; SELECT 1; RESET DateStyle; SELECT 2"),
        query("SET application_name = x"),
        query("BEGIN"),
        query("RESET application_name; SELECT 1"),
        query("ROLLBACK"),
        query("DO $$ BEGIN RESET application_name; END $$"),
        *everybody(),
    )


def test_sessions_that_started_alike_and_not(agrees):
    """By turns on one server connection, each with a text that needs one of its own kind."""
    text = f"RESET ALL; {ALL}"
    agrees(*[query(statement, who) for _ in range(3) for who in STARTED for statement in (CHANGE, text, CHANGE, ALL)])


# In the middle of a transaction that was begun on a connection which cannot do it.


@pytest.mark.pooler_only
@pytest.mark.parametrize("text", SINGLE.values(), ids=SINGLE)
def test_later_in_a_transaction_is_refused_once(module_balancer, cluster, dbname, text):
    balancer = module_balancer(num_init_children=1, max_pool=1)
    cluster.primary.query(FUNCTIONS, dbname=dbname, user="app")
    # (In the extended protocol too: Parse is taken, Bind refused.)
    for data in (fe.query(text), fe.extended(text) + fe.sync()):
        begin = [query("SET work_mem = '9MB'"), query("BEGIN"), query("SELECT 1")]
        hold(balancer, dbname, [query("SELECT 1", "c")])  # the connection is nobody's in particular
        steps = [*begin, say(data), query("SELECT 1"), query("ROLLBACK"), *begin, say(data), query(ALL), query("COMMIT"), query(ALL)]
        got = hold(balancer, dbname, steps, parameters=STARTED)
        refused = got[3]
        assert kinds(refused).endswith("EZ") and refused[-1].status == "E", refused
        error = next(m for m in refused if m.kind == b"E")
        assert error.sqlstate == "40001" and {"D", "H"} <= error.fields.keys()
        assert got[4][0].sqlstate == "25P02"
        expected = hold(cluster.primary, dbname, steps[6:], parameters=STARTED)
        assert [[m.comparable for m in reply] for reply in got[6:]] == [[m.comparable for m in reply] for reply in expected]


@pytest.mark.pooler_only
def test_a_session_tied_to_its_connection_is_told_so(module_balancer, dbname):
    with connected(module_balancer(num_init_children=1, max_pool=1), dbname, **STARTED["a"]) as client:
        client.rows("CREATE TEMP TABLE held (a int)")
        client.send(fe.query("RESET work_mem; SHOW work_mem"))
        reply = client.receive_ready()
        assert kinds(reply) == "EZ" and reply[0].sqlstate == "0A000" and reply[1].status == "I"
        # What does not concern its startup settings, or is a statement of its own, works.
        client.rows("RESET lock_timeout; SHOW lock_timeout")
        client.rows("SET work_mem = '9MB'")
        client.rows("RESET work_mem")
        assert client.value("SHOW work_mem") == "7MB"
        client.rows("DROP TABLE held")
        client.send(fe.query("SET work_mem = '9MB'; RESET work_mem; SHOW work_mem"))
        assert [m.values for m in client.receive_ready() if m.kind == b"D"] == [[b"7MB"]]


@pytest.mark.pooler_only
def test_what_does_not_concern_the_session_is_not_refused(module_balancer, cluster, dbname):
    setup = "CREATE TABLE t (a text DEFAULT 'x'); INSERT INTO t VALUES ('y');"
    setup += "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RESET work_mem; UPDATE t SET a = DEFAULT; RETURN a FROM t; END $$"
    cluster.primary.query(setup, dbname=dbname, user="app")
    balancer = module_balancer(num_init_children=1, max_pool=1)
    with connected(balancer, dbname, **STARTED["b"]) as client:
        client.rows("BEGIN")
        client.rows("SELECT 1")
        client.rows("SELECT 1; SELECT set_config('work_mem', NULL, true)")
        client.rows("DO $$ BEGIN RESET work_mem; END $$")
        client.rows("RESET work_mem; SHOW work_mem")
        client.rows("SELECT f()")
        client.rows("UPDATE t SET a = DEFAULT")
        client.rows("DO $$ BEGIN UPDATE t SET a = DEFAULT; END $$")
        client.rows("COMMIT")


# Server connections.


@pytest.mark.pooler_only
def test_alike_sessions_share_the_connections_made_for_them(make_balancer, dbname):
    balancer = make_balancer(num_init_children=1, max_pool=1)
    pids = set()
    for _ in range(10):
        with connected(balancer, dbname, **STARTED["a"]) as client:
            client.send(fe.query("RESET work_mem; SELECT pg_backend_pid()"))
            pids |= {m.values[0] for m in client.receive_ready() if m.kind == b"D"}
    assert len(pids) == 1


@pytest.mark.pooler_only
def test_the_others_are_served_while_a_connection_is_made(make_balancer, dbname):
    """Many of each kind at once on few connections: nobody starves, everybody sees his own."""
    balancer = make_balancer(num_init_children=1, max_pool=2, query_wait_timeout=0)
    clients = [connected(balancer, dbname, timeout=30, work_mem=f"{1 + i % 3}MB") for i in range(12)]
    try:
        for turn in range(6):
            for i, client in enumerate(clients):
                client.send(fe.query("SET work_mem = '9MB'; RESET work_mem; SHOW work_mem" if (i + turn) % 2 else "SHOW work_mem"))
            for i, client in enumerate(clients):
                assert [m.values for m in client.receive_ready() if m.kind == b"D"] == [[f"{1 + i % 3}MB".encode()]]
    finally:
        for client in clients:
            client.close()


# Session mode


def test_session_mode_shows_what_the_client_started_with(session_balancer, same):
    view = "SELECT name, setting, source, reset_val FROM pg_settings WHERE name = ANY ('{application_name,search_path,DateStyle,work_mem}') ORDER BY 1"  # fmt: skip
    same(session_balancer, query(view), query(CHANGE), query(view), query("RESET ALL"), query(view), query(view, "b"),
         query(view, "c"), parameters=STARTED)  # fmt: skip


@pytest.mark.pooler_only
def test_session_mode_reuses_a_connection_for_the_same_settings_only(make_balancer, dbname):
    balancer = make_balancer(num_init_children=1, max_pool=1, pool_mode="session")

    def visit(who):
        with connected(balancer, dbname, **STARTED[who]) as client:
            seen = client.rows(ALL), client.rows("SELECT pg_backend_pid()")[0][0]
            client.rows("SET application_name = x; SET search_path = y; SET DateStyle = ISO; SET work_mem = '9MB'; RESET DateStyle")
            return seen

    visits = [visit(who) for who in "aabbccaa"]
    assert visits[0::2] == visits[1::2]
    assert len({pid for _, pid in visits}) == 4
    assert visits[0][0] == visits[6][0]


@pytest.mark.parametrize(
    "parameters",
    [{"no_such_setting": "1"}, {"work_mem": "nonsense"}, {"options": "-c No_Such=1"}, {"shared_buffers": "1GB"},
     {"client_encoding": "NONSENSE"}, {"log_statement": "all"}],
    ids=lambda parameters: ", ".join(f"{name}={value}" for name, value in parameters.items()),
)  # fmt: skip
@pytest.mark.parametrize("company", [False, True])
def test_session_mode_reports_wrong_startup_settings_with_the_servers_words(session_balancer, cluster, dbname, raw, parameters, company):
    if company:  # there is a connection with other settings, and one with none
        raw(session_balancer, work_mem="3MB").rows("SELECT 1")
        raw(session_balancer).rows("SELECT 1")
    began = time.monotonic()
    replies = []
    for server in (cluster.primary, session_balancer):
        with RawClient(server) as client:
            replies.append([m.comparable for m in client.start(dbname, **parameters) if m.kind == b"E"])
    assert replies[1] == replies[0] and replies[0]
    assert time.monotonic() - began < 5
    with connected(session_balancer, dbname) as client:
        assert client.value("SELECT 1") == "1"
