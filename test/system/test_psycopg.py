"""psycopg 3 in transaction mode: everything its users do works as it does directly."""

import threading

import psycopg
import pytest


@pytest.fixture
def connection(balancer, dbname):
    with balancer.connect(dbname=dbname) as connection:
        yield connection


def test_pipeline_mode(connection):
    with connection.pipeline():
        connection.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
        cursor = connection.cursor()
        cursor.executemany("INSERT INTO items VALUES (%s, %s) RETURNING id", [(i, f"item {i}") for i in range(500)],
                           returning=True)  # fmt: skip
        total = connection.execute("SELECT count(*) FROM items")
    assert total.fetchone() == (500,)
    ids = [cursor.fetchone()[0]]
    while cursor.nextset():
        ids.append(cursor.fetchone()[0])
    assert ids == list(range(500))


def test_pipeline_error_aborts_the_rest(connection):
    connection.execute("CREATE TABLE items (id int PRIMARY KEY)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        with connection.pipeline() as pipeline:
            connection.execute("INSERT INTO items VALUES (1)")
            connection.execute("INSERT INTO items VALUES (1)")
            connection.execute("INSERT INTO items VALUES (2)")
            pipeline.sync()
    assert connection.execute("SELECT count(*) FROM items").fetchone() == (0,)


def test_pipeline_in_a_transaction(connection):
    connection.execute("CREATE TABLE items (id int)")
    with connection.pipeline(), connection.transaction():
        for i in range(10):
            connection.execute("INSERT INTO items VALUES (%s)", [i])
    assert connection.execute("SELECT count(*) FROM items").fetchone() == (10,)


@pytest.mark.parametrize("binary", [False, True])
def test_prepared_at_once_with_all_kinds_of_values(balancer, dbname, binary):
    with balancer.connect(dbname=dbname, prepare_threshold=0) as connection:
        for _ in range(3):
            for value in (1, 2**40, 1.5, "text 'with' quotes", b"\0\1\2", True, None, [1, 2, 3]):
                row = connection.execute("SELECT %s AS v, %s::text", [value, "x"], binary=binary).fetchone()
                assert row[0] == value


def test_prepared_statements_give_way_to_new_ones(balancer, dbname):
    with balancer.connect(dbname=dbname, prepare_threshold=0) as connection:
        connection.prepared_max = 5  # psycopg deallocates the oldest by name
        for turn in range(2):
            for i in range(20):
                assert connection.execute(f"SELECT {i} + %s::int", [turn]).fetchone() == (i + turn,)


def test_copy_both_directions(connection):
    connection.execute("CREATE TABLE items (id int, name text)")
    with connection.cursor() as cursor:
        with cursor.copy("COPY items FROM STDIN") as copy:
            for i in range(10000):
                copy.write_row((i, f"item {i}"))
        assert cursor.rowcount == 10000
        with cursor.copy("COPY (SELECT * FROM items ORDER BY id) TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            rows = list(copy.rows())
    assert rows[0] == (0, "item 0") and len(rows) == 10000


def test_copy_in_binary(connection):
    connection.execute("CREATE TABLE items (id int, data bytea)")
    with connection.cursor() as cursor:
        with cursor.copy("COPY items FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "bytea"])
            for i in range(100):
                copy.write_row((i, bytes([i]) * 1000))
    assert connection.execute("SELECT sum(length(data)) FROM items").fetchone() == (100000,)


def test_copy_that_the_client_breaks_off(connection):
    connection.execute("CREATE TABLE items (id int)")
    with pytest.raises(psycopg.errors.QueryCanceled):
        with connection.cursor().copy("COPY items FROM STDIN") as copy:
            copy.write_row((1,))
            raise ValueError("changed my mind") from None
    assert connection.execute("SELECT count(*) FROM items").fetchone() == (0,)


def test_copy_out_that_the_client_breaks_off(connection):
    with pytest.raises(psycopg.errors.QueryCanceled):
        with connection.cursor().copy("COPY (SELECT generate_series(1, 100000000)) TO STDOUT") as copy:
            next(iter(copy))
            connection.cancel()
            for _ in copy:
                pass
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_notify_and_listen(balancer, dbname):
    with balancer.connect(dbname=dbname) as listener, balancer.connect(dbname=dbname) as sender:
        listener.execute("LISTEN news")
        for i in range(3):
            sender.execute("SELECT pg_notify('news', %s)", [f"number {i}"])
            sender.execute("NOTIFY old_news, 'for nobody'")
        received = []
        for notification in listener.notifies():
            received.append(notification.payload)
            if len(received) == 3:
                break
        assert received == ["number 0", "number 1", "number 2"]
        listener.execute("UNLISTEN news")
        sender.execute("NOTIFY news, 'unheard'")
        assert listener.execute("SELECT 1").fetchone() == (1,)


def test_a_notification_wakes_an_idle_listener(balancer, dbname):
    with balancer.connect(dbname=dbname) as listener, balancer.connect(dbname=dbname) as sender:
        listener.execute("LISTEN news")
        received = []
        thread = threading.Thread(target=lambda: received.append(next(iter(listener.notifies()))))
        thread.start()
        sender.execute("NOTIFY news, 'wake up'")
        thread.join(10)
        assert received and received[0].payload == "wake up"


def test_server_side_cursors(connection):
    with connection.transaction(), connection.cursor("named", scrollable=True) as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT generate_series(1, 1000)")
        assert cursor.fetchone() == (1,)
        assert cursor.fetchmany(10)[-1] == (11,)
        assert sum(1 for _ in cursor) == 989
        cursor.scroll(-5)
        assert cursor.fetchone() is not None


def test_server_side_cursor_with_hold(balancer, connection):
    with connection.transaction():
        cursor = connection.cursor("held", withhold=True, scrollable=True)
        cursor.execute("SELECT generate_series(1, 100)")
    assert cursor.fetchmany(3) == [(1,), (2,), (3,)]
    connection.execute("SELECT 1")
    cursor.scroll(50, mode="absolute")
    assert cursor.fetchone() == (51,)
    cursor.close()


def test_transactions_and_savepoints(balancer, dbname):
    with balancer.connect(dbname=dbname, autocommit=False) as connection:
        connection.execute("CREATE TABLE items (id int)")
        connection.commit()
        with connection.transaction():
            connection.execute("INSERT INTO items VALUES (1)")
            with pytest.raises(psycopg.errors.DivisionByZero):
                with connection.transaction():
                    connection.execute("INSERT INTO items VALUES (2)")
                    connection.execute("SELECT 1/0")
            connection.execute("INSERT INTO items VALUES (3)")
        assert connection.execute("SELECT array_agg(id ORDER BY id) FROM items").fetchone() == ([1, 3],)
        connection.rollback()
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        connection.read_only = True
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("INSERT INTO items VALUES (4)")
        connection.rollback()
        assert connection.execute("SHOW transaction_isolation").fetchone() == ("serializable",)


def test_two_phase_commit(connection, balancer, dbname):
    connection.execute("CREATE TABLE items (id int)")
    connection.autocommit = False
    transaction = connection.xid(1, "pooled", dbname)
    connection.tpc_begin(transaction)
    connection.execute("INSERT INTO items VALUES (1)")
    connection.tpc_prepare()
    with balancer.connect(dbname=dbname) as other:
        assert other.execute("SELECT count(*) FROM items").fetchone() == (0,)
    connection.tpc_commit()
    assert connection.execute("SELECT count(*) FROM items").fetchone() == (1,)


def test_information_about_the_connection(connection, dbname):
    info = connection.info
    assert info.dbname == dbname and info.user == "app" and info.encoding == "utf-8"
    assert info.server_version >= 130000 and info.parameter_status("integer_datetimes") == "on"
    connection.execute("SET client_encoding = 'LATIN1'")
    assert info.encoding == "iso8859-1"
    assert connection.execute("SELECT 'ä'").fetchone() == ("ä",)


def test_notices_reach_their_handler(connection):
    heard = []
    connection.add_notice_handler(lambda diagnostic: heard.append((diagnostic.severity, diagnostic.message_primary)))
    connection.execute("DO $$ BEGIN RAISE NOTICE 'hear, hear'; END $$")
    assert heard == [("NOTICE", "hear, hear")]


def test_row_by_row(connection):
    cursor = connection.cursor()
    rows = cursor.stream("SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i")
    assert sum(row[0] for row in rows) == 20000 * 20001 // 2


def test_large_parameters_and_results(connection):
    value = "ä" * (4 << 20)
    assert connection.execute("SELECT %s::text", [value]).fetchone() == (value,)
    data = bytes(range(256)) * (1 << 14)
    assert connection.execute("SELECT %b::bytea", [data], binary=True).fetchone() == (data,)


def test_many_threads_with_a_connection_each(balancer, dbname):
    problems = []

    def work(number):
        try:
            with balancer.connect(dbname=dbname, prepare_threshold=1) as connection:
                for i in range(50):
                    with connection.transaction():
                        row = connection.execute("SELECT %s::int, pg_backend_pid()", [number * 1000 + i]).fetchone()
                        assert row[0] == number * 1000 + i
                        again = connection.execute("SELECT pg_backend_pid()").fetchone()
                        assert again[0] == row[1], "one transaction, one server process"
        except Exception as error:  # shown below
            problems.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_terminated_server_process_is_reported(balancer, cluster, dbname):
    with balancer.connect(dbname=dbname) as connection:
        with pytest.raises(psycopg.OperationalError):
            with connection.transaction():
                pid = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
                cluster.primary.query("SELECT pg_terminate_backend(%s)", [pid])
                connection.execute("SELECT pg_sleep(10)")
    with balancer.connect(dbname=dbname) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_asynchronous_connections(balancer, dbname):
    import asyncio

    async def work():
        connections = [
            await psycopg.AsyncConnection.connect(balancer.conninfo(dbname=dbname), autocommit=True) for _ in range(5)
        ]

        async def ask(connection, i):
            cursor = await connection.execute("SELECT %s::int, pg_sleep(0.05)", [i])
            return (await cursor.fetchone())[0]

        answers = await asyncio.gather(*(ask(connection, i) for i, connection in enumerate(connections)))
        for connection in connections:
            await connection.close()
        return answers

    assert asyncio.run(work()) == [0, 1, 2, 3, 4]


@pytest.mark.pooler_only
def test_idle_clients_do_not_keep_server_connections(balancer, cluster, dbname):
    clients = [balancer.connect(dbname=dbname) for _ in range(40)]
    for client in clients:
        client.execute("SELECT 1")
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
    assert 1 <= cluster.primary.scalar(count, [dbname]) <= 16
    for client in clients:
        client.close()
