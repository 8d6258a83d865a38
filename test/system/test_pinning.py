"""What ties a session to its server connection, whether the text shows it or not; visible with its reason, and ended in time."""

import pytest

from support import frontend as fe
from support.comparison import query, say
from support.raw_client import connected
from support.waiting import await_condition


@pytest.fixture(scope="module")
def two_servers(module_balancer):
    """One worker with two server connections: one can be pinned while the other serves everybody else."""
    return module_balancer(num_init_children=1, max_pool=2)


@pytest.fixture(scope="module")
def one_server(module_balancer):
    return module_balancer(num_init_children=1, max_pool=1)


def pin_reasons(balancer, dbname):
    """The reasons shown for server connections to the test's database."""
    rows = balancer.show("POOL_PROCESSES")
    assert rows and "pinned_reason" in rows[0], f"SHOW POOL_PROCESSES has no column pinned_reason: {rows}"
    return sorted(row["pinned_reason"] for row in rows if row["database"] == dbname and row["pinned_reason"])


FUNCTIONS = """
CREATE FUNCTION hidden_set() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('work_mem', '3MB', false); END $$;
CREATE FUNCTION hidden_custom() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('my.own', 'x', false); END $$;
CREATE FUNCTION hidden_listen() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'LISTEN hidden'; END $$;
CREATE FUNCTION hidden_temp() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CREATE TEMP TABLE hidden (a int)'; END $$;
CREATE FUNCTION hidden_lock() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(4711); RETURN 1; END $$;
CREATE FUNCTION hidden_prepare() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'PREPARE hidden AS SELECT 1'; END $$;
CREATE FUNCTION hidden_role() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SET ROLE pg_monitor'; END $$;
CREATE FUNCTION harmless() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 42; END $$;
CREATE TABLE watched (a int);
CREATE FUNCTION on_insert() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN CREATE TEMP TABLE IF NOT EXISTS by_trigger (a int); RETURN NEW; END $$;
CREATE TRIGGER t BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION on_insert();
CREATE PROCEDURE hidden_procedure() LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'LISTEN from_procedure'; END $$;
CREATE VIEW seemingly_harmless AS SELECT hidden_lock();
CREATE SEQUENCE numbers;
CREATE TABLE serials (id serial, a int);
"""

# statement, a word of the reason that is shown, statement that ends the pin (None: only DISCARD ALL or the end of the session)
PINS = {
    "listen": ("LISTEN channel", "listen", "UNLISTEN channel"),
    "unlisten all": ("LISTEN channel", "listen", "UNLISTEN *"),
    "temporary table": ("CREATE TEMP TABLE scratch (a int)", "temp", "DROP TABLE scratch"),
    "select into temp": ("SELECT 1 AS a INTO TEMP scratch", "temp", "DROP TABLE scratch"),
    "temporary view": ("CREATE TEMPORARY VIEW scratch AS SELECT 1", "temp", "DROP VIEW scratch"),
    "pg_temp": ("CREATE TABLE pg_temp.scratch (a int)", "temp", "DROP TABLE pg_temp.scratch"),
    "create table as": ("CREATE TEMP TABLE scratch AS SELECT 1", "temp", "DISCARD TEMP"),
    "holdable cursor": ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "cursor", "CLOSE c"),
    "advisory lock": ("SELECT pg_advisory_lock(1)", "advisory", "SELECT pg_advisory_unlock(1)"),
    "shared advisory lock": ("SELECT pg_try_advisory_lock_shared(1, 2)", "advisory", "SELECT pg_advisory_unlock_all()"),
    "prepare": ("PREPARE p AS SELECT 1", "prepare", "DEALLOCATE p"),
    "failed load": ("LOAD '$libdir/plugins/nothing'", None, None),
    "failed listen": ("BEGIN; LISTEN channel; SELECT 1/0", None, None),
    "hidden listen": ("SELECT hidden_listen()", "listen", "UNLISTEN hidden"),
    "hidden temp": ("SELECT hidden_temp()", "temp", "DROP TABLE hidden"),
    "hidden lock": ("SELECT hidden_lock()", "advisory", "SELECT pg_advisory_unlock(4711)"),
    "hidden prepare": ("SELECT hidden_prepare()", "prepare", "DEALLOCATE hidden"),
    "lock in a view": ("SELECT * FROM seemingly_harmless", "advisory", "SELECT pg_advisory_unlock_all()"),
    "trigger": ("INSERT INTO watched VALUES (1)", "temp", "DROP TABLE by_trigger"),
    "call": ("CALL hidden_procedure()", "listen", "UNLISTEN *"),
    "do": ("DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE by_do (a int)'; END $$", "temp", "DROP TABLE by_do"),
    "sequence": ("SELECT nextval('numbers')", "sequence", None),
    "set role": ("SET ROLE pg_monitor", "setting", "RESET ROLE"),
}


@pytest.mark.pooler_only
@pytest.mark.parametrize("name", PINS)
def test_pin_is_shown_and_ends(two_servers, cluster, dbname, name):
    statement, reason, undo = PINS[name]
    cluster.primary.query("GRANT pg_monitor TO app")
    cluster.primary.query(FUNCTIONS, dbname=dbname, user="app")
    with connected(two_servers, dbname) as client:
        client.query(statement)
        if reason is None:
            client.query("ROLLBACK")
            assert pin_reasons(two_servers, dbname) == []
            return
        shown = await_condition(lambda: pin_reasons(two_servers, dbname), what="the pin is shown")
        assert len(shown) == 1 and reason in shown[0].lower()
        if undo is not None:
            client.rows(undo)
            await_condition(lambda: pin_reasons(two_servers, dbname) == [], what="the pin ends")
            client.query(statement)
            await_condition(lambda: pin_reasons(two_servers, dbname), what="pinned again")
        client.rows("DISCARD ALL")
        if reason != "sequence":
            await_condition(lambda: pin_reasons(two_servers, dbname) == [], what="DISCARD ALL ends it")


@pytest.mark.pooler_only
def test_load_pins_until_the_session_ends(two_servers, dbname):
    with connected(two_servers, dbname, "postgres") as client:
        client.rows("LOAD 'auto_explain'")
        assert await_condition(lambda: pin_reasons(two_servers, dbname)) == ["load"]
        client.rows("DISCARD ALL")
        assert pin_reasons(two_servers, dbname) == ["load"]
    await_condition(lambda: pin_reasons(two_servers, dbname) == [])


@pytest.mark.pooler_only
@pytest.mark.parametrize("name", [name for name, (_, reason, _) in PINS.items() if reason])
def test_pinned_state_leaves_with_the_client(one_server, cluster, dbname, name):
    """The next client on the same server connection finds none of it."""
    statement, _, _ = PINS[name]
    cluster.primary.query("GRANT pg_monitor TO app")
    cluster.primary.query(FUNCTIONS, dbname=dbname, user="app")
    with connected(one_server, dbname) as client:
        client.query(statement)
    leftovers = """
        SELECT 'channel ' || pg_listening_channels()
        UNION ALL SELECT 'lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
        UNION ALL SELECT 'temporary ' || relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()
        UNION ALL SELECT 'statement ' || name FROM pg_prepared_statements WHERE from_sql
        UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE is_holdable
        UNION ALL SELECT 'role' WHERE current_user <> 'app'
        UNION ALL SELECT name FROM pg_settings WHERE source = 'session' AND name NOT LIKE 'transaction_%'
    """
    with connected(one_server, dbname) as client:
        found = [row[0].decode() for row in client.rows(leftovers)]
        # What pgbalancer itself keeps on a server connection is tracked settings only, which it takes back for each session.
        assert found == []


@pytest.mark.parametrize(
    "before, after",
    [
        ("LISTEN channel", "SELECT pg_listening_channels()"),
        ("CREATE TEMP TABLE scratch AS SELECT 7 AS a", "SELECT a FROM scratch"),
        ("CREATE TEMP TABLE items AS SELECT 'temporary' AS a", "SELECT a FROM items"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 3)", "FETCH 2 FROM c"),
        ("SELECT pg_advisory_lock(1)", "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"),
        ("PREPARE p AS SELECT 'prepared'", "EXECUTE p"),
        ("SELECT nextval('numbers')", "SELECT currval('numbers'), lastval()"),
        ("SELECT setval('numbers', 42)", "SELECT currval('numbers')"),
        ("SET ROLE pg_monitor", "SELECT current_user, session_user"),
        ("SET SESSION AUTHORIZATION app", "SELECT current_user, session_user"),
        ("SELECT hidden_set()", "SHOW work_mem"),
        ("SELECT hidden_custom()", "SELECT current_setting('my.own')"),
        ("SELECT hidden_listen()", "SELECT pg_listening_channels()"),
        ("SELECT hidden_temp()", "SELECT * FROM hidden"),
        ("SELECT hidden_lock()", "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"),
        ("SELECT hidden_prepare()", "EXECUTE hidden"),
        ("SELECT hidden_role()", "SELECT current_user"),
        ("INSERT INTO watched VALUES (1)", "SELECT * FROM by_trigger"),
        ("CALL hidden_procedure()", "SELECT pg_listening_channels()"),
        ("DO $$ BEGIN PERFORM set_config('work_mem', '6MB', false); END $$", "SHOW work_mem"),
        ("BEGIN; CREATE TEMP TABLE scratch AS SELECT 7 AS a; COMMIT", "SELECT a FROM scratch"),
        ("BEGIN; CREATE TEMP TABLE scratch AS SELECT 7 AS a; ROLLBACK", "SELECT a FROM scratch"),
        ("WITH made AS (SELECT hidden_set()) SELECT * FROM made", "SHOW work_mem"),
        ("COPY (SELECT hidden_set()) TO STDOUT", "SHOW work_mem"),
        ("EXPLAIN ANALYZE SELECT hidden_temp()", "SELECT * FROM hidden"),
    ],
    ids=lambda sql: sql[:40],
)
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_session_state_stays_with_its_session(two_servers, cluster, same, before, after, extended):
    """Another client works in between and looks for what is not its own."""
    if extended and ";" in before and "$$" not in before:
        pytest.skip("several statements are for the simple protocol")
    if "EXPLAIN" in before and not extended:
        before = before.replace("ANALYZE", "(ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)")
    elif "EXPLAIN" in before:
        pytest.skip("once is enough")
    cluster.primary.query("GRANT pg_monitor TO app")
    first = say(fe.extended(before), fe.sync()) if extended else query(before)
    same(
        two_servers,
        first,
        query(after, who="b"),
        query("SELECT 1", who="c"),
        query(after),
        query("BEGIN"),
        query("ROLLBACK"),
        query(after, who="b"),
        query(after),
        setup=FUNCTIONS + "CREATE TABLE items AS SELECT 'permanent' AS a",
    )


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_the_number_of_a_serial_column_stays_with_its_session(module_balancer, same, extended):
    """As long as there are server connections for the others, also when nobody has asked before."""
    insert = "INSERT INTO serials (a) VALUES (1)"
    ask = "SELECT currval('serials_id_seq'), lastval()"
    replies = same(
        module_balancer(num_init_children=1, max_pool=6),
        say(fe.extended(insert), fe.sync()) if extended else query(insert),
        query(ask, who="b"),
        query("SELECT 1", who="c"),
        query(ask),
        query("BEGIN"),
        query("ROLLBACK"),
        query(ask, who="b"),
        query(ask),
        setup="CREATE TABLE serials (id serial, a int)",
    )
    assert replies[3][1].values == [b"1", b"1"]


def test_a_seed_stays_with_its_session(two_servers, same):
    replies = same(
        two_servers,
        query("SELECT setseed(0.25)", who="a"),
        query("SELECT setseed(0.75)", who="b"),
        query("SELECT random()", who="a"),
        query("SELECT random()", who="b"),
        query("SELECT random()", who="a"),
    )
    assert replies[2][1].values != replies[3][1].values


@pytest.mark.pooler_only
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "SELECT harmless()",
        "SELECT pg_advisory_xact_lock(1)",
        "BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH c; COMMIT",
        "BEGIN; LISTEN channel; ROLLBACK",
        "BEGIN; CREATE TEMP TABLE scratch (a int) ON COMMIT DROP; INSERT INTO scratch VALUES (1); COMMIT",
        "BEGIN; CREATE TEMP TABLE scratch (a int); ROLLBACK",
        "SET work_mem = '2MB'",
        "SELECT set_config('work_mem', '2MB', false)",
        "SELECT set_config('work_mem', '2MB', true)",
        "SELECT now(), random(), gen_random_uuid()",
        "NOTIFY channel",
        "DO $$ BEGIN NULL; END $$",
        "INSERT INTO items VALUES (1)",
        "SELECT pg_try_advisory_lock(1), pg_advisory_unlock(1)",
    ],
)
def test_what_does_not_pin(two_servers, cluster, dbname, statement):
    cluster.primary.query(FUNCTIONS + "CREATE TABLE items (a int)", dbname=dbname, user="app")
    with connected(two_servers, dbname) as client:
        client.query(statement)
        client.rows("SELECT 1")
        await_condition(lambda: pin_reasons(two_servers, dbname) == [])


@pytest.mark.pooler_only
def test_sequences_do_not_pin_when_told_so(make_balancer, cluster, dbname):
    balancer = make_balancer(num_init_children=1, max_pool=1, sequence_pin="off")
    cluster.primary.query(FUNCTIONS, dbname=dbname, user="app")
    with connected(balancer, dbname) as one, connected(balancer, dbname) as two:
        one.rows("SELECT nextval('numbers')")
        assert two.rows("SELECT 1") == [[b"1"]]


@pytest.mark.pooler_only
def test_everything_pinned_makes_others_wait_not_fail(one_server, dbname):
    with connected(one_server, dbname) as holder, connected(one_server, dbname) as waiter:
        holder.rows("LISTEN channel")
        waiter.send(fe.query("SELECT 'patience'"))
        assert waiter.is_silent(0.3)
        holder.rows("UNLISTEN channel")
        messages = waiter.receive_ready()
        assert messages[1].values == [b"patience"]


@pytest.mark.pooler_only
def test_session_mode_pins_by_itself(module_balancer, dbname):
    balancer = module_balancer(num_init_children=1, max_pool=2, pool_mode="session")
    with connected(balancer, dbname) as client:
        client.rows("SELECT 1")
        shown = await_condition(lambda: pin_reasons(balancer, dbname))
        assert "session" in shown[0]
        pid = client.value("SELECT pg_backend_pid()")
        assert client.key[0] == int(pid), "in session mode the client knows its server process"


@pytest.mark.pooler_only
@pytest.mark.parametrize("setting", ["database_pool_mode", "user_pool_mode"])
def test_pool_mode_per_database_and_user(make_balancer, dbname, setting):
    key = dbname if setting == "database_pool_mode" else "app"
    balancer = make_balancer(num_init_children=1, max_pool=2, **{setting: f"{key}:session"})
    with connected(balancer, dbname) as client:
        client.rows("SELECT 1")
        assert await_condition(lambda: pin_reasons(balancer, dbname))
    with connected(balancer, "postgres", "other") as client:
        client.rows("SELECT 1")
        assert pin_reasons(balancer, "postgres") == []
