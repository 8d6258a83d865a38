"""SHOW POOL_…: pgpool's columns, in either protocol, inside and outside transactions."""

import psycopg
import pytest

pytestmark = pytest.mark.pooler_only

COLUMNS = {
    "POOL_NODES": (
        "node_id hostname port status pg_status lb_weight role pg_role select_cnt load_balance_node replication_delay"
        " replication_state replication_sync_state last_status_change"
    ),
    "POOL_HEALTH_CHECK_STATS": (
        "node_id hostname port status role last_status_change total_count success_count fail_count skip_count retry_count"
        " average_retry_count max_retry_count max_duration min_duration average_duration last_health_check"
        " last_successful_health_check last_skip_health_check last_failed_health_check"
    ),
    "POOL_PROCESSES": (
        "pool_pid start_time client_connection_count database username backend_connection_time pool_counter status"
    ),
    "POOL_POOLS": (
        "pool_pid start_time client_connection_count pool_id backend_id database username backend_connection_time"
        " client_connection_time client_disconnection_time client_idle_duration majorversion minorversion pool_counter"
        " pool_backendpid pool_connected status"
    ),
    "POOL_BACKEND_STATS": (
        "node_id hostname port status role select_cnt insert_cnt update_cnt delete_cnt ddl_cnt other_cnt panic_cnt fatal_cnt"
        " error_cnt"
    ),
    "POOL_ROUTES": "node_id hostname port role reason count",
    "POOL_STATUS": "item value description",
    "POOL_VERSION": "pool_version",
}


@pytest.mark.parametrize("command", COLUMNS)
def test_columns_are_pgpools_in_its_order(balancer, dbname, command):
    expected = COLUMNS[command].split()
    with balancer.connect(dbname=dbname) as connection:
        connection.execute("SELECT 1")
        cursor = connection.execute(f"SHOW {command}")
        names = [column.name for column in cursor.description]
        assert names[: len(expected)] == expected
        assert cursor.statusmessage == "SHOW"
        assert cursor.fetchall()


@pytest.mark.parametrize("command", COLUMNS)
def test_either_protocol_in_and_out_of_a_transaction(balancer, dbname, command):
    with balancer.connect(dbname=dbname) as connection:

        def columns(**how):
            return [column.name for column in connection.execute(f"show {command.lower()} ;", **how).description]

        simple = columns()
        with connection.cursor(binary=True) as cursor:  # extended, and the values asked for in binary
            cursor.execute(f"SHOW {command}", prepare=True)
            assert [column.name for column in cursor.description] == simple
            prepared = cursor.fetchall()
            cursor.execute(f"SHOW {command}", prepare=True)
            assert len(cursor.fetchall()) == len(prepared)
        with connection.transaction():
            assert columns() == simple
            connection.execute("CREATE TABLE t (n int)")
            assert columns() == simple
            assert columns(prepare=True) == simple
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_a_failed_transaction_refuses_them(balancer, dbname):
    with balancer.connect(dbname=dbname, autocommit=False) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1/0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SHOW POOL_NODES")


def test_nodes_and_their_checks(make_balancer, cluster):
    server = cluster.primary
    balancer = make_balancer(
        backends=[], backend_hostname3=server.host, backend_port3=server.port, backend_weight3=2, backend_hostname7="127.0.0.1",
        backend_port7=1, backend_weight7=6, health_check_max_retries=1, health_check_retry_delay="10ms",
    )  # fmt: skip
    up, down = balancer.show("POOL_NODES")
    assert (up["node_id"], up["port"], up["status"], up["pg_status"]) == ("3", str(server.port), "up", "up")
    assert (up["role"], up["pg_role"], float(up["lb_weight"]), up["replication_delay"]) == ("primary", "primary", 0.25, "0")
    assert (down["node_id"], down["status"], down["pg_status"], down["pg_role"]) == ("7", "down", "down", "unknown")
    assert down["replication_delay"] is None
    good, bad = balancer.show("POOL_HEALTH_CHECK_STATS")
    assert int(good["success_count"]) == int(good["total_count"]) >= 1
    assert good["last_successful_health_check"] == good["last_health_check"] and not good["last_failed_health_check"]
    assert 0 < float(good["min_duration"]) <= float(good["average_duration"]) <= float(good["max_duration"])
    assert int(bad["fail_count"]) == int(bad["total_count"]) >= 1 and int(bad["max_retry_count"]) == 1
    assert float(bad["average_retry_count"]) == int(bad["retry_count"]) / int(bad["total_count"])
    assert bad["last_failed_health_check"] == bad["last_health_check"] and not bad["last_successful_health_check"]
    (connection,) = [row for row in balancer.show("POOL_PROCESSES") if row["database"]][:1]
    assert connection["backend_id"] == "3"


def test_statements_are_counted_by_kind(make_balancer, dbname):
    balancer = make_balancer(num_init_children=2)
    before = balancer.show("POOL_BACKEND_STATS")[0]
    with balancer.connect(dbname=dbname) as connection:
        connection.execute("CREATE TABLE t (n int)")
        connection.execute("INSERT INTO t VALUES (1), (2)")
        connection.execute("UPDATE t SET n = 3 WHERE n = %s", [1], prepare=True)
        connection.execute("UPDATE t SET n = 3 WHERE n = %s", [2], prepare=True)
        connection.execute("DELETE FROM t")
        for _ in range(3):
            connection.execute("SELECT * FROM t")
        connection.execute("SELECT %s::int", [1])
        connection.execute("SET work_mem = '1MB'")
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1/0")
    after = balancer.show("POOL_BACKEND_STATS")[0]
    counted = {name: int(after[name]) - int(before[name]) for name in after if name.endswith("_cnt")}
    assert counted.pop("other_cnt") >= 1
    assert counted == {"select_cnt": 5, "insert_cnt": 1, "update_cnt": 2, "delete_cnt": 1, "ddl_cnt": 1,
                       "panic_cnt": 0, "fatal_cnt": 0, "error_cnt": 1}  # fmt: skip
    assert balancer.show("POOL_NODES")[0]["select_cnt"] == after["select_cnt"]
    (route,) = balancer.show("POOL_ROUTES")
    assert (route["node_id"], route["role"], route["reason"]) == ("0", "primary", "no standby")
    assert int(route["count"]) >= 11


def test_explain_route_on_one_node(balancer, dbname):
    with balancer.connect(dbname=dbname) as connection:
        cursor = connection.execute("explain  Route\tSELECT 1")
        assert [column.name for column in cursor.description] == ["node_id", "hostname", "port", "role", "reason"]
        assert cursor.statusmessage == "EXPLAIN"
        assert cursor.fetchone() == ("0", "127.0.0.1", str(balancer.settings["backend_port0"]), "primary", "no standby")
        assert connection.execute("EXPLAIN ROUTE INSERT INTO t VALUES (1)", prepare=True).fetchone()[4] == "no standby"
        with connection.transaction():
            connection.execute("CREATE TABLE t (n int)")
            assert connection.execute("EXPLAIN ROUTE SELECT 1").fetchone()[4] == "in transaction"
        connection.execute("LISTEN a")
        assert connection.execute("EXPLAIN ROUTE SELECT 1").fetchone()[4] == "pinned"
        with pytest.raises(psycopg.errors.SyntaxError):
            connection.execute("EXPLAIN ROUTES SELECT 1")


def test_pools_have_a_row_for_every_slot(make_balancer, dbname):
    balancer = make_balancer(num_init_children=2, max_pool=3)
    with balancer.connect(dbname=dbname) as connection, connection.transaction():
        connection.execute("SELECT 1")
        rows = balancer.show("POOL_POOLS")
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert len(rows) == 6 and {row["pool_id"] for row in rows} == {"0", "1", "2"}
    (mine,) = [row for row in rows if row["pool_backendpid"] == str(pid)]
    assert (mine["database"], mine["username"], mine["pool_connected"], mine["backend_id"]) == (dbname, "app", "1", "0")
    assert {row["pool_pid"] for row in rows} == {str(pid) for pid in balancer.worker_pids()}
    unused = [row for row in rows if row["status"] == "unused"]
    assert unused and all(row["pool_connected"] == "0" and not row["username"] for row in unused)


def test_status_shows_every_parameter_and_no_secret(balancer):
    rows = {row["item"]: row for row in balancer.show("POOL_STATUS")}
    assert rows["max_pool"]["value"] == "8" and rows["backend_port0"]["value"] == str(balancer.settings["backend_port0"])
    assert all(row["description"] for row in rows.values())
    assert rows["health_check_password"]["value"] == "********"
    assert not any(balancer.settings["health_check_password"] in row["value"] for row in rows.values())


def test_the_version_begins_with_its_number(balancer):
    """pgpool's exporter finds nothing otherwise, and ends."""
    (row,) = balancer.show("POOL_VERSION")
    assert row["pool_version"].split(".")[0].isdigit()
