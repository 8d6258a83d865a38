"""Settings belong to the session, not to the server connection that happens to carry it.

Conversations of two clients run over one single server connection of pgbalancer, and directly, where each client has its own: what each of
them sees must be the same.
"""

import pytest

from support import frontend as fe
from support.comparison import query, say
from support.raw_client import RawClient, connected


@pytest.fixture(scope="module")
def one_server(module_balancer):
    """One worker with one server connection, so that every statement of another client in between means a hand-over."""
    return module_balancer(num_init_children=1, max_pool=1)


def show(name, who="a"):
    return query(f"SELECT current_setting('{name}', true)", who=who)


def shown(reply):
    return next(m for m in reply if m.kind == b"D").values[0].decode()


# SET, RESET, DISCARD


def test_two_clients_keep_their_own_settings(one_server, same):
    replies = same(
        one_server,
        query("SET work_mem = '1MB'", who="a"),
        query("SET work_mem = '2MB'", who="b"),
        show("work_mem", "a"),
        show("work_mem", "b"),
        show("work_mem", "c"),
        query("SET search_path = one, two", who="a"),
        show("search_path", "b"),
        show("search_path", "a"),
    )
    assert [shown(replies[i]) for i in (2, 3)] == ["1MB", "2MB"]


REPORTED = ["application_name", "DateStyle", "TimeZone", "IntervalStyle", "client_encoding", "standard_conforming_strings"]


@pytest.mark.parametrize(
    "name, value",
    [
        ("application_name", "'it''s me'"),
        ("DateStyle", "German"),
        ("TimeZone", "'Asia/Tokyo'"),
        ("IntervalStyle", "iso_8601"),
        ("client_encoding", "LATIN1"),
        ("standard_conforming_strings", "off"),
        ("statement_timeout", "54321"),
        ("extra_float_digits", "-3"),
        ("search_path", "'a schema', \"B\", pg_catalog"),
        ("bytea_output", "escape"),
        ("row_security", "off"),
        ("lock_timeout", "'1h'"),
        ("default_transaction_isolation", "'repeatable read'"),
        ("default_transaction_read_only", "on"),
        ("plan_cache_mode", "force_generic_plan"),
        ("my.own", "'custom'"),
    ],
)
def test_set_and_reset(one_server, same, name, value):
    replies = same(
        one_server,
        show(name),
        query(f"SET {name} = {value}"),
        show(name, "b"),
        show(name),
        query(f"SET {name} TO DEFAULT"),
        show(name),
        query(f"SET SESSION {name} TO {value}", who="b"),
        show(name),
        show(name, "b"),
        query(f"RESET {name}", who="b"),
        show(name, "b"),
    )
    assert replies[3][1].values != replies[2][1].values


def test_spellings_of_set(one_server, same):
    same(
        one_server,
        query("SET TIME ZONE 'Europe/Paris'"),
        show("TimeZone", "b"),
        show("TimeZone"),
        query("SET TIME ZONE LOCAL"),
        show("TimeZone"),
        query("SET NAMES 'LATIN1'"),
        show("client_encoding", "b"),
        show("client_encoding"),
        query("SET SCHEMA 'elsewhere'"),
        show("search_path", "b"),
        show("search_path"),
        query("SET XML OPTION DOCUMENT"),
        show("xmloption", "b"),
        show("xmloption"),
        query("set \"WORK_MEM\" to '3MB'; set Work_Mem = '4MB'"),
        show("work_mem", "b"),
        show("work_mem"),
        query("SELECT set_config('work_mem', '5MB', false)"),
        show("work_mem", "b"),
        show("work_mem"),
    )


def test_session_characteristics(one_server, same):
    same(
        one_server,
        query("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY"),
        query("SHOW transaction_isolation", who="a"),
        query("SHOW transaction_read_only", who="a"),
        query("RESET default_transaction_read_only; RESET default_transaction_isolation"),
        query("SHOW transaction_isolation"),
    )


@pytest.mark.parametrize("command", ["RESET ALL", "DISCARD ALL", "RESET SESSION AUTHORIZATION", "DISCARD PLANS", "DISCARD TEMP"])
def test_commands_that_restore_startup_values(one_server, same, command):
    parameters = {
        "a": {"application_name": "app a", "DateStyle": "German", "search_path": "startup_path", "options": "-c work_mem=7MB"},
        "b": {"application_name": "app b", "extra_float_digits": "2"},
    }
    names = ["application_name", "DateStyle", "search_path", "work_mem", "extra_float_digits", "my.own"]
    change = "SET application_name = x; SET DateStyle = ISO; SET search_path = y; SET work_mem = '9MB'; SET my.own = 'z'"
    steps = [query(change), show("application_name", "b"), query(command), show("application_name", "b")]
    same(one_server, *steps, *[show(name) for name in names], *[show(name, "b") for name in names], parameters=parameters)


def test_a_refused_set_changes_nothing(one_server, same):
    same(
        one_server,
        query("SET work_mem = '1MB'"),
        query("SET work_mem = 'nonsense'"),
        query("SET no_such_setting = 1"),
        query("SET shared_buffers = '1GB'"),
        show("work_mem", "b"),
        show("work_mem"),
        query("SET work_mem = '2MB'; SELECT 1/0"),
        show("work_mem", "b"),
        show("work_mem"),
    )


# Transactions


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "PREPARE TRANSACTION 'p'", "ROLLBACK AND CHAIN", "COMMIT AND CHAIN"])
def test_set_within_a_transaction(one_server, same, end):
    same(
        one_server,
        query("SET work_mem = '1MB'"),
        query("BEGIN"),
        query("SET work_mem = '2MB'"),
        query("SET application_name = 'inside'"),
        query("SET LOCAL lock_timeout = '5s'"),
        query("CREATE TABLE made (a int)"),
        show("work_mem"),
        query(end),
        query("ROLLBACK"),
        query("COMMIT PREPARED 'p'"),
        show("work_mem", "b"),
        show("work_mem"),
        show("application_name"),
        show("lock_timeout"),
    )


def test_set_and_savepoints(one_server, same):
    replies = same(
        one_server,
        query("BEGIN"),
        query("SET work_mem = '1MB'"),
        query("SAVEPOINT s"),
        query("SET work_mem = '2MB'"),
        query("SET application_name = 'in savepoint'"),
        query("ROLLBACK TO s"),
        show("work_mem"),
        query("SAVEPOINT t"),
        query("SET lock_timeout = '9s'"),
        query("RELEASE t"),
        query("COMMIT"),
        show("work_mem", "b"),
        show("work_mem"),
        show("application_name"),
        show("lock_timeout"),
    )
    assert shown(replies[12]) == "1MB" and shown(replies[14]) == "9s"


def test_set_local_ends_with_the_transaction(one_server, same):
    replies = same(
        one_server,
        query("SET work_mem = '1MB'"),
        query("BEGIN; SET LOCAL work_mem = '2MB'"),
        show("work_mem"),
        query("COMMIT"),
        show("work_mem", "b"),
        show("work_mem"),
        query("SET LOCAL work_mem = '3MB'"),
        show("work_mem"),
        query("BEGIN; SET work_mem = '4MB'; SET LOCAL work_mem = '5MB'; COMMIT"),
        show("work_mem", "b"),
        show("work_mem"),
    )
    assert shown(replies[10]) == "4MB"


def test_set_after_an_error_in_the_same_transaction(one_server, same):
    same(
        one_server,
        query("BEGIN; SET work_mem = '2MB'"),
        query("SELECT 1/0"),
        query("SET work_mem = '3MB'"),
        query("COMMIT"),
        show("work_mem", "b"),
        show("work_mem"),
    )


def test_implicit_transactions(one_server, same):
    same(
        one_server,
        query("SET work_mem = '2MB'; SELECT 1/0; SET work_mem = '3MB'"),
        show("work_mem", "b"),
        show("work_mem"),
        query("SET work_mem = '2MB'; COMMIT; SELECT 1/0"),
        show("work_mem", "b"),
        show("work_mem"),
        say(fe.extended("SET work_mem = '6MB'"), fe.extended("SELECT 1/0"), fe.sync()),
        show("work_mem", "b"),
        show("work_mem"),
        say(fe.extended("SET work_mem = '7MB'"), fe.extended("SHOW work_mem"), fe.sync()),
        show("work_mem", "b"),
        show("work_mem"),
    )


@pytest.mark.parametrize("first, second", [("SET work_mem = '2MB'", "SELECT 1/0"), ("SELECT 1/0", "SET work_mem = '2MB'")])
@pytest.mark.parametrize("in_batches", [False, True])
def test_set_in_a_pipeline_with_an_error(one_server, same, first, second, in_batches):
    parts = [fe.extended(sql) + fe.sync() if in_batches else fe.query(sql) for sql in (first, second)]
    same(
        one_server,
        say(*parts),
        say(until="Z"),
        show("work_mem", "b"),
        show("work_mem"),
    )


def test_set_as_a_prepared_statement(one_server, same):
    same(
        one_server,
        say(fe.parse("s", "SET work_mem = '2MB'"), fe.sync()),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
        show("work_mem", "b"),
        show("work_mem"),
        query("RESET work_mem"),
        say(fe.bind("", "s"), fe.execute(), fe.sync()),
        show("work_mem", "b"),
        show("work_mem"),
        say(fe.parse("r", "RESET ALL"), fe.bind("", "r"), fe.execute(), fe.sync()),
        show("work_mem", "b"),
        show("work_mem"),
    )


# Startup parameters


@pytest.mark.parametrize(
    "parameters",
    [
        {"application_name": "named at start"},
        {"options": "-c work_mem=3MB -c search_path=one,two"},
        {"options": "--work-mem=3MB"},
        {"options": "-c application_name=with\\ blank"},
        {"search_path": "one, two"},
        {"DateStyle": "SQL, DMY"},
        {"TimeZone": "Asia/Tokyo", "extra_float_digits": "0"},
        {"client_encoding": "LATIN1"},
        {"client_encoding": "'utf-8'"},
        {"my.own": "x"},
        {"default_transaction_isolation": "serializable"},
    ],
    ids=lambda parameters: ", ".join(parameters),
)
def test_startup_parameters_are_the_sessions(one_server, cluster, same, parameters):
    names = ["work_mem", "application_name", "search_path", "DateStyle", "TimeZone", "extra_float_digits", "client_encoding",
             "my.own", "default_transaction_isolation"]  # fmt: skip
    steps = [step for name in names for step in (show(name), show(name, "b"))]
    same(one_server, *steps, query("RESET ALL"), *steps, parameters={"a": parameters})


@pytest.mark.parametrize(
    "statements",
    [
        "RESET work_mem; SET work_mem = '5MB'",
        "SET work_mem = '5MB'; RESET work_mem",
        "RESET search_path; SELECT 1",
        "RESET ALL; SET work_mem = '5MB'",
        "SET search_path = two; RESET work_mem; SELECT 1 / 0",
    ],
)
def test_reset_among_other_statements_in_session_mode(module_balancer, same, statements):
    balancer = module_balancer(num_init_children=1, max_pool=2, pool_mode="session")
    steps = [show("work_mem"), show("search_path")]
    parameters = {"options": "-c work_mem=3MB -c search_path=one"}
    same(balancer, query("SET work_mem = '9MB'"), query(statements), *steps, query("RESET ALL"), *steps, parameters={"a": parameters})


@pytest.mark.parametrize(
    "parameters",
    [
        {"no_such_setting": "1"},
        {"work_mem": "nonsense"},
        {"options": "-c no_such_setting=1"},
        {"options": "-c work_mem"},
        {"shared_buffers": "1GB"},
        {"client_encoding": "NONSENSE"},
        {"log_statement": "all"},  # for superusers
    ],
    ids=lambda parameters: ", ".join(f"{name}={value}" for name, value in parameters.items()),
)
def test_startup_parameters_the_server_refuses(one_server, cluster, dbname, parameters):
    replies = []
    for server in (cluster.primary, one_server):
        with RawClient(server) as client:
            replies.append([m.comparable for m in client.start(dbname, **parameters) if m.kind == b"E"])
    assert replies[1] == replies[0] and replies[0]
    # The connection it was tried on serves others.
    with connected(one_server, dbname) as client:
        assert client.value("SELECT 1") == "1"


def test_startup_parameters_are_reported_as_changed(one_server, cluster, dbname):
    parameters = {"application_name": "me", "DateStyle": "German", "TimeZone": "Asia/Tokyo", "client_encoding": "LATIN1"}
    with connected(cluster.primary, dbname, **parameters) as direct, connected(one_server, dbname, **parameters) as pooled:
        assert pooled.parameters == direct.parameters
        assert direct.parameters["DateStyle"].startswith("German")


def test_role_and_database_defaults_hold(one_server, cluster, dbname):
    cluster.primary.query(f"ALTER DATABASE {dbname} SET work_mem = '11MB'")
    cluster.primary.query(f"ALTER ROLE other IN DATABASE {dbname} SET work_mem = '12MB'")
    for user, expected in (("app", "11MB"), ("other", "12MB")):
        with connected(one_server, dbname, user) as client:
            assert client.value("SHOW work_mem") == expected
            client.rows("SET work_mem = '1MB'")
            client.rows("RESET work_mem")
            assert client.value("SHOW work_mem") == expected


def test_changed_defaults_reach_new_sessions(one_server, cluster, dbname):
    """ALTER ROLE … SET through pgbalancer: a pooled server connection from before must not serve a later login."""
    with connected(one_server, dbname) as client:
        assert client.value("SHOW work_mem") == "4MB"
        client.rows(f"ALTER ROLE app IN DATABASE {dbname} SET work_mem = '13MB'")
    with connected(one_server, dbname) as client:
        assert client.value("SHOW work_mem") == "13MB"


@pytest.mark.pooler_only
@pytest.mark.parametrize("mode, tie", [("session", "SELECT 1"), ("transaction", "LISTEN x")])
def test_custom_settings_of_a_session_that_kept_its_connection_are_not_seen_by_the_next(make_balancer, dbname, mode, tie):
    balancer = make_balancer(num_init_children=1, max_pool=1, pool_mode=mode)
    for _ in range(3):
        with connected(balancer, dbname) as client:
            assert client.value("SELECT current_setting('my.own', true)") is None
            client.rows(tie)
            client.rows("SET my.own = 'x'")
            client.rows("SELECT set_config('my.other', 'x', false)")


# Many at once


def test_many_clients_never_see_each_others_settings(module_balancer, dbname):
    balancer = module_balancer(num_init_children=2, max_pool=2)
    clients = [connected(balancer, dbname, application_name=f"client {i}") for i in range(20)]
    try:
        for turn in range(5):
            for i, client in enumerate(clients):
                client.send(fe.query(f"SET my.own = '{i}.{turn}'"))
            for client in clients:
                client.receive_ready()
            for client in clients:
                client.send(fe.query("SELECT current_setting('my.own'), current_setting('application_name')"))
            for i, client in enumerate(clients):
                rows = [m.values for m in client.receive_ready() if m.kind == b"D"]
                assert rows == [[f"{i}.{turn}".encode(), f"client {i}".encode()]]
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("reset", ["RESET ALL", "RESET DateStyle", "SET DateStyle TO DEFAULT"])
def test_a_reset_in_a_transaction_reports_only_its_outcome(one_server, same, reset):
    replies = same(
        one_server,
        query("BEGIN"),
        query(reset),
        query("SET DateStyle = 'ISO'"),
        query(reset),
        query("COMMIT"),
        parameters={"a": {"DateStyle": "German"}},
    )
    assert [m.parameter for m in replies[1] if m.kind == b"S"] == []
    assert [m.parameter for m in replies[3] if m.kind == b"S"] == [("DateStyle", "German, DMY")]
