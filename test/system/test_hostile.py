"""What a hostile or unlucky peer gets: its own session ends, and that is all.

No worker dies, no other session notices, memory and descriptors come back.
"""

import random
import socket
import struct
import threading
import time

import psycopg
import pytest

from support import frontend as fe
from support import processes
from support.fake_server import FaultyServer, ScriptedServer, accept_login, read_message
from support.paths import pgbalancer_binary
from support.raw_client import ConnectionClosed, RawClient, connected
from support.waiting import await_condition

pytestmark = pytest.mark.pooler_only


class Bystander(threading.Thread):
    """Somebody else's session, which must go on as if nothing happened."""

    def __init__(self, balancer, dbname):
        super().__init__()
        self._client = connected(balancer, dbname, timeout=20)
        self._ended = threading.Event()
        self.problem = None
        self.answers = 0

    def run(self):
        try:
            while not self._ended.is_set():
                assert self._client.value(f"SELECT {self.answers} + 1") == str(self.answers + 1)
                self.answers += 1
                time.sleep(0.002)
        except Exception as error:  # shown by whoever ends it
            self.problem = error

    def end(self):
        self._ended.set()
        self.join()
        self._client.close()
        assert self.problem is None and self.answers > 0


@pytest.fixture
def calm(module_balancer, dbname):
    """A pgbalancer that must look the same after the test: workers, descriptors, memory, and a bystander's session."""
    balancer = module_balancer(num_init_children=2, max_pool=4, max_client_conn=2000)
    workers = balancer.worker_pids()
    with connected(balancer, dbname) as client:
        client.rows("SELECT 1")

    def descriptors():
        return sum(processes.open_descriptors(pid) for pid in workers)

    bystander = Bystander(balancer, dbname)
    bystander.start()
    time.sleep(0.05)
    before, memory = descriptors(), balancer.user_memory_bytes()
    yield balancer
    await_condition(lambda: descriptors() <= before + 2 * 4, what="descriptors are closed")
    # A worker keeps what its parser and its buffers once needed for use, but no more. (AddressSanitizer keeps what is freed.)
    if "/asan/" not in str(pgbalancer_binary()):
        await_condition(
            lambda: balancer.user_memory_bytes() < memory + len(workers) * (10 << 20), what="memory comes back"
        )
    bystander.end()
    assert balancer.worker_pids() == workers, "a worker died:\n" + balancer.log_text()[-3000:]


def hang_up(client):
    """Closes our sending side and waits for the other to close; whatever it says meanwhile."""
    try:
        client.socket.shutdown(socket.SHUT_WR)
        client.socket.settimeout(10)
        while client.socket.recv(1 << 16):
            pass
    except OSError:
        pass  # reset: as good an end as any
    client.close()


# Clients


def test_random_bytes_instead_of_a_startup_packet(calm):
    dice = random.Random(1)
    for _ in range(300):
        client = RawClient(calm)
        try:
            client.send(dice.randbytes(dice.choice([1, 3, 4, 8, 40, 1000])))
        except OSError:
            pass
        hang_up(client)


def test_random_bytes_after_login(calm, dbname):
    dice = random.Random(2)
    for _ in range(200):
        client = connected(calm, dbname)
        try:
            client.send(dice.randbytes(dice.choice([1, 5, 8, 40, 1000, 70000])))
        except OSError:
            pass
        hang_up(client)


MESSAGES = [
    fe.query("SELECT 1"),
    fe.parse("s", "SELECT $1::int", [23]),
    fe.bind("p", "s", [b"12345"], [0], [1]),
    fe.describe_statement("s"),
    fe.execute("p", 1),
    fe.close_portal("p"),
    fe.sync(),
    fe.flush(),
    fe.function_call(1257, [b"four"]),
    fe.copy_data(b"data"),
    fe.copy_fail("no"),
]


def test_messages_with_random_damage(calm, dbname):
    """Each byte of each message changed, then everything that follows as usual."""
    dice = random.Random(3)
    for message in MESSAGES:
        for position in range(len(message)):
            damaged = bytearray(message)
            damaged[position] ^= 1 << dice.randrange(8)
            with connected(calm, dbname) as client:
                try:
                    client.send(fe.parse("s", "SELECT $1::int"), bytes(damaged), fe.sync())
                except OSError:
                    pass
                hang_up(client)


@pytest.mark.parametrize("length", [0, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x40000000])
@pytest.mark.parametrize("kind", [b"Q", b"P", b"B", b"d", b"p", b"S", b"X"])
def test_impossible_lengths(calm, dbname, kind, length):
    """A length alone must neither be believed (no memory for it) nor overflow."""
    client = connected(calm, dbname)
    memory = calm.user_memory_bytes()
    client.send(kind + struct.pack("!I", length) + b"x" * 100)
    client.is_silent(0.05)  # it may wait for the rest, or refuse at once
    assert calm.user_memory_bytes() < memory + (4 << 20)
    hang_up(client)


@pytest.mark.parametrize("length", [0, 4, 7, 8, 9, 10001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_impossible_startup_lengths(calm, length):
    client = RawClient(calm)
    client.send(struct.pack("!II", length, 196608) + b"user\0app\0")
    hang_up(client)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"user",
        b"user\0",
        b"user\0app",
        b"user\0app\0database\0",
        b"user\0app\0database\0postgres\0options\0-c",
        b"\0\0\0",
        b"user\0\0\0",
        b"database\0postgres\0\0",
        b"user\0app\0\0trailing",
        b"user\0" + b"a" * 9000 + b"\0\0",
        b"user\0app\0" * 500 + b"\0",
        b"user\0\xff\xfe\0\0",
        b"user\0app\0replication\0nonsense\0\0",
        b"user\0app\0options\0" + b"-" * 8000 + b"\0\0",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_malformed_startup_packets(calm, body):
    client = RawClient(calm)
    client.send(struct.pack("!II", len(body) + 8, 196608) + body)
    hang_up(client)


def test_half_a_packet_and_silence(calm, dbname):
    """Connections that say a little and then nothing cost next to nothing and block nobody."""
    packet = fe.startup({"user": "app", "database": dbname})
    silent = [RawClient(calm) for _ in range(200)]
    for i, client in enumerate(silent):
        client.send(packet[: i % len(packet)])
    half = [connected(calm, dbname) for _ in range(50)]
    for i, client in enumerate(half):
        client.send(fe.query("SELECT 'half'")[: 1 + i % 15])
    with connected(calm, dbname) as client:
        for i in range(20):
            assert client.value(f"SELECT {i}") == str(i)
    for i, client in enumerate(half):
        client.send(fe.query("SELECT 'half'")[1 + i % 15 :])
        assert client.receive_ready()[1].values == [b"half"]
    for client in silent + half:
        client.close()


def test_burst_of_connections(calm, dbname):
    """A thousand connects before any is spoken to, then all at once."""
    clients = [RawClient(calm, timeout=30) for _ in range(1000)]
    for client in clients:
        client.send(fe.startup({"user": "app", "database": dbname}), fe.query("SELECT 1"))
    for client in clients:
        assert client.receive_ready()[-1].kind == b"Z"
        assert client.receive_ready()[1].values == [b"1"]
    for client in clients[::2]:
        client.reset()
    for client in clients[1::2]:
        client.terminate()


def test_clients_that_vanish_at_any_moment(calm, dbname, cluster):
    """In the middle of a query, a transaction, a COPY: the server connection must not be given to the next as it is."""
    cluster.primary.query("CREATE TABLE items (id int)", dbname=dbname, user="app")
    last_words = [
        [fe.query("SELECT pg_sleep(0.2)")],
        [fe.query("BEGIN"), fe.query("INSERT INTO items VALUES (1)")],
        [fe.query("COPY items FROM STDIN"), fe.copy_data(b"1\n2\n")],
        [fe.query("COPY (SELECT generate_series(1, 1000000)) TO STDOUT")],
        [fe.query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)")],
        [fe.extended("INSERT INTO items VALUES (1)"), fe.flush()],
        [fe.extended("INSERT INTO items VALUES (1)")],
        [fe.query("BEGIN"), fe.extended("SELECT 1/0"), fe.flush()],
        [fe.parse("", "INSERT INTO items VALUES (1)")[:-3]],
        [fe.query("LISTEN channel; CREATE TEMP TABLE scratch (a int); SET work_mem = '1MB'")],
    ]
    for words in last_words:
        for way in ("reset", "close"):
            for pause in (0, 0.03):
                client = connected(calm, dbname)
                client.send(*words)
                time.sleep(pause)
                getattr(client, way)()
    with connected(calm, dbname) as client:
        for _ in range(20):
            messages = client.query("SELECT count(*), current_setting('work_mem') FROM items")
            assert messages[-1].status == "I" and messages[1].values == [b"0", b"4MB"]
    busy = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = %s AND state <> 'idle'"
    await_condition(lambda: cluster.primary.scalar(busy, [dbname]), what="no transaction is left open")


@pytest.mark.parametrize("flushed", [False, True], ids=["not flushed", "flushed"])
@pytest.mark.parametrize("waiting", [False, True], ids=["served", "waiting for a server"])
@pytest.mark.parametrize("way", ["reset", "close"])
def test_what_was_not_synced_is_undone(module_balancer, cluster, dbname, way, waiting, flushed):
    """A write before Sync is not committed: neither by the one who vanished nor by the next on that server connection."""
    balancer = module_balancer(num_init_children=1, max_pool=1)
    cluster.primary.query("CREATE TABLE items (id int)", dbname=dbname, user="app")
    for _ in range(5):
        holder = connected(balancer, dbname)
        if waiting:
            holder.send(fe.query("SELECT pg_sleep(0.05)"))
        client = connected(balancer, dbname)
        client.send(fe.extended("INSERT INTO items VALUES (1)"), fe.flush() if flushed else b"")
        if flushed and not waiting:
            client.receive_until(b"C")
        getattr(client, way)()
        if waiting:
            holder.receive_ready()
        assert holder.value("SELECT count(*) FROM items") == "0"
        holder.close()
    assert cluster.primary.scalar("SELECT count(*) FROM items", dbname=dbname) == 0


def test_deeply_nested_statements(calm, dbname):
    """A parser that recurses must not run out of stack."""
    for depth in (1000, 10000, 100000):
        for text in ("SELECT " + "(" * depth + "1" + ")" * depth, "SELECT " + "NOT " * depth + "true",
                     "SELECT " + " + ".join(["1"] * depth), "SELECT 1" + " UNION SELECT 1" * depth,
                     "SELECT " + "CASE WHEN true THEN " * depth):  # fmt: skip
            with connected(calm, dbname, timeout=60) as client:
                messages = client.query(text)
                assert messages[-1].kind == b"Z"
                assert client.value("SELECT 1") == "1"


def test_nested_comments_keep_the_server_busy_not_the_worker(calm, dbname):
    """PostgreSQL's scanner takes quadratic time for them; the bystander on the same worker must not wait for that."""
    depth = 6000
    with connected(calm, dbname) as slow, connected(calm, dbname) as other:
        slow.send(fe.query("SELECT " + "/*" * depth + "*/" * depth + "1"))
        began = time.monotonic()
        assert other.value("SELECT 2") == "2"
        assert time.monotonic() - began < 0.2
        assert slow.receive_ready()[1].values == [b"1"]


def test_statement_texts_of_all_kinds(calm, dbname):
    """Texts that end in the middle of a token, contain odd bytes, or are very long."""
    texts = [b"SELECT '", b'SELECT "', b"SELECT $$", b"SELECT $tag$ x $ta$", b"/*", b"--", b"SELECT E'\\", b"SELECT U&'\\", b"\xff",
             b"SELECT 1;" * 5000, b";" * 10000, b"SELECT '" + b"x" * (1 << 20) + b"'", b"\xc3", b"SELECT $1", b"$", b"\x01\x02",
             b"SELECT 1 AS \xf0\x9f\x90\x98", b"BEGIN;" * 100 + b"COMMIT;", b"SET x", b"SET", b"DISCARD", b"PREPARE", b"/*+", b"/*"
             + b"+ pgbalancer:" * 100]  # fmt: skip
    with connected(calm, dbname, timeout=30) as client:
        for text in texts:
            for messages in (client.ask(fe.query(text)), client.ask(fe.parse("", text), fe.sync())):
                assert messages[-1].kind == b"Z"
            client.query("ROLLBACK")


# Servers


@pytest.fixture
def faulty(cluster, make_balancer):
    with FaultyServer(cluster.primary) as server:
        balancer = make_balancer(backends=[(server.host, server.port)], num_init_children=1, max_pool=2, query_wait_timeout="3s",
                                 connect_timeout="2s")  # fmt: skip
        yield server, balancer


def converse(balancer, dbname):
    """A conversation with every kind of reply; how far it came: the messages' kinds, and the SQLSTATE it ended with."""
    seen = ""
    client = None
    try:
        client = RawClient(balancer, timeout=8)
        seen += "".join(m.kind.decode() for m in client.start(dbname))
        if not seen.endswith("Z"):
            return seen
        for data, until in (
            (fe.query("SELECT 1; SELECT 1/0"), "Z"),
            (fe.extended("SELECT 'x' || $1", [b"y"]) + fe.sync(), "Z"),
            (fe.query("BEGIN"), "Z"),
            (fe.query("COPY items FROM STDIN"), "G"),
            (fe.copy_data(b"1\n") + fe.copy_done(), "Z"),
            (fe.query("COPY items TO STDOUT"), "Z"),
            (fe.query("COMMIT"), "Z"),
        ):
            client.send(data)
            seen += "".join(m.kind.decode() for m in client.receive_until(until.encode()))
        return seen + " done"
    except ConnectionClosed as closed:
        return seen + "".join(m.kind.decode() for m in closed.messages) + "<"
    except OSError as error:
        assert not isinstance(error, TimeoutError), f"no answer and no end after {seen}"
        return seen + "<"
    finally:
        if client:
            client.close()


def _die_at_every(faulty, cluster, dbname, step, with_reset):
    server, balancer = faulty
    server.with_reset = with_reset
    cluster.primary.query("CREATE TABLE items (id int)", dbname=dbname, user="app")
    worker = balancer.worker_pids()
    assert converse(balancer, dbname).endswith(" done")
    total = server.bytes_from_server
    assert total > 500
    for cut in range(0, total, step):
        server.cut_after = cut
        # A connection from before the last cut may still serve one conversation: its end is the same.
        assert not (balancer.worker_pids() != worker), f"the worker died of a server that died at byte {cut}"
        outcome = converse(balancer, dbname)
        assert outcome.endswith(("<", "E", " done")), f"{outcome} at byte {cut}"
    server.cut_after = None
    await_condition(lambda: converse(balancer, dbname).endswith(" done"), what="served again")
    assert balancer.worker_pids() == worker


def test_server_that_dies_at_many_bytes(faulty, cluster, dbname):
    _die_at_every(faulty, cluster, dbname, 17, with_reset=False)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("with_reset", [False, True], ids=["end of file", "reset"])
def test_server_that_dies_at_every_byte(faulty, cluster, dbname, with_reset):
    _die_at_every(faulty, cluster, dbname, 1, with_reset)


def test_client_is_told_when_the_server_goes(faulty, dbname, cluster):
    """Outside a transaction nobody notices; inside, the session gets an error and then ends or goes on, but never hangs."""
    server, balancer = faulty
    kill = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    with balancer.connect(dbname=dbname) as idle:
        idle.execute("SELECT 1")
        cluster.primary.query(kill, [dbname])
        assert idle.execute("SELECT 2").fetchone() == (2,)
    with pytest.raises(psycopg.OperationalError):
        with balancer.connect(dbname=dbname) as busy, busy.transaction():
            busy.execute("SELECT 1")
            cluster.primary.query(kill, [dbname])
            busy.execute("SELECT 2")


def reply(kind, payload=b""):
    return fe.message(kind, payload)


NONSENSE = {
    "unknown message": reply(b"~", b"what"),
    "length 0": b"D\0\0\0\0",
    "length 3": b"Z\0\0\0\3",
    "2 GiB": b"D\x7f\xff\xff\xff" + b"x" * 100,
    "4 GiB": b"D\xff\xff\xff\xff" + b"x" * 100,
    "error without fields": reply(b"E", b"\0") + reply(b"Z", b"I"),
    "error without end": reply(b"E", b"SERROR") + reply(b"Z", b"I"),
    "empty error": reply(b"E") + reply(b"Z", b"I"),
    "ready without status": reply(b"Z"),
    "ready with unknown status": reply(b"Z", b"?"),
    "more readies than asked for": reply(b"C", b"SELECT 0\0") + reply(b"Z", b"I") * 5,
    "authentication again": reply(b"R", b"\0\0\0\3"),
    "another key": reply(b"K", b"\0\0\0\1\0\0\0\2") + reply(b"C", b"SELECT 0\0") + reply(b"Z", b"I"),
    "parameter without end": reply(b"S", b"application_name") + reply(b"C", b"SELECT 0\0") + reply(b"Z", b"I"),
    "empty parameter": reply(b"S") + reply(b"C", b"SELECT 0\0") + reply(b"Z", b"I"),
    "answers to nothing asked": reply(b"1") + reply(b"2") + reply(b"3") + reply(b"t", b"\0\0") + reply(b"Z", b"I"),
    "row without description": reply(b"D", b"\x7f\xff") + reply(b"C", b"SELECT 1\0") + reply(b"Z", b"I"),
    "copy both": reply(b"W", b"\0\0\0"),
    "copy in": reply(b"G", b"\0\0\0") + reply(b"E", b"SERROR\0CXX000\0Mno\0\0") + reply(b"Z", b"I"),
    "description with a count too large": reply(b"T", b"\x7f\xff") + reply(b"C", b"SELECT 0\0") + reply(b"Z", b"I"),
    "random bytes": random.Random(4).randbytes(3000),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_server_that_talks_nonsense(cluster, make_balancer, dbname, name):
    """Servers are untrusted input too."""

    def script(connection, parameters):
        accept_login(connection)
        while True:
            kind, _ = read_message(connection)
            if kind in b"QS":
                connection.sendall(NONSENSE[name])

    with ScriptedServer(cluster.primary, script) as server:
        balancer = make_balancer(backends=[(server.host, server.port)], num_init_children=1, max_pool=2, query_wait_timeout="2s")
        workers = balancer.worker_pids()
        for data in (fe.query("SELECT 1"), fe.parse("s", "SELECT 1") + fe.describe_statement("s") + fe.sync(), fe.query("BEGIN; SELECT 2")):
            with RawClient(balancer, timeout=5) as client:
                client.start("postgres", "app")
                try:
                    client.send(data)
                    client.is_silent(0.2)
                except OSError:
                    pass
                hang_up(client)
        # Those who are passed through to the real server are served as ever.
        assert balancer.query("SELECT 1", dbname="postgres", user="postgres") == [(1,)]
        assert balancer.worker_pids() == workers, f"{name}:\n{balancer.log_text()[-2000:]}"


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"E",
        b"N" * 100,
        reply(b"R"),
        reply(b"R", b"\0\0\0\5"),
        reply(b"R", b"\0\0\0\x0aSCRAM-SHA-256"),
        reply(b"R", b"\0\0\0\x0a\0"),
        reply(b"R", b"\0\0\0\x0bv=") + reply(b"R", b"\0\0\0\x0cv="),
        reply(b"R", b"\0\0\0\x63"),
        reply(b"R", b"\0\0\0\0") * 100,
        reply(b"Z", b"I"),
        reply(b"E", b"SFATAL\0C28P01\0Mpassword authentication failed\0\0"),
        reply(b"E", b"SFATAL\0\0"),
        reply(b"E"),
        b"R\x7f\xff\xff\xff",
        reply(b"R", b"\0\0\0\0") + b"S\x7f\xff\xff\xff",
        reply(b"R", b"\0\0\0\0") + reply(b"K", b"\0") + reply(b"Z", b"I"),
        reply(b"v", b"\x7f\xff\xff\xff\x7f\xff\xff\xff"),
    ],
    ids=lambda greeting: repr(greeting[:24]),
)
def test_server_whose_login_is_nonsense(cluster, make_balancer, greeting):
    def script(connection, parameters):
        connection.sendall(greeting)
        connection.settimeout(5)
        while connection.recv(1000):
            pass

    with ScriptedServer(cluster.primary, script) as server:
        balancer = make_balancer(backends=[(server.host, server.port)], num_init_children=1, max_pool=2,
                                 query_wait_timeout="2s", connect_timeout="1s")  # fmt: skip
        workers = balancer.worker_pids()
        with RawClient(balancer, timeout=8) as client:
            messages = client.start("postgres", "app") if greeting != b"" else []
            if messages and messages[-1].kind == b"Z":
                client.send(fe.query("SELECT 1"))
                client.is_silent(3)
        assert balancer.query("SELECT 1", dbname="postgres", user="postgres") == [(1,)]
        assert balancer.worker_pids() == workers, balancer.log_text()[-2000:]
