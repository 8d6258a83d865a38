"""Whatever passes through passes in constant memory: large values, COPY, slow readers, endless pipelines."""

import contextlib
import threading

import pytest

from support import frontend as fe
from support import processes
from support.balancer import DIRECT
from support.raw_client import connected

MIB = 1 << 20
# A worker that holds a whole value, or a whole pipeline, needs many times this.
BOUND = 12 * MIB


@pytest.fixture
def bounded(balancer):
    """with bounded(): … asserts that no worker's memory peaked more than BOUND above what it was."""

    @contextlib.contextmanager
    def watch(bound=BOUND):
        if DIRECT:
            yield
            return
        workers = balancer.worker_pids()
        for pid in workers:
            processes.reset_peak_memory(pid)
        before = {pid: processes.peak_memory_bytes(pid) for pid in workers}
        yield
        assert balancer.worker_pids() == workers
        for pid in workers:
            grown = processes.peak_memory_bytes(pid) - before[pid]
            assert grown < bound, f"a worker needed {grown / MIB:.1f} MiB more"

    return watch


def _large_value(balancer, bounded, dbname, size):
    with connected(balancer, dbname, timeout=300) as client, bounded():
        client.send(fe.query(f"SELECT repeat('x', {size})"))
        assert client.drain_ready() == size + 6
        # And to the server, as a parameter.
        client.send(fe.parse("", "SELECT length($1)"), fe.bind("", "", [b"y" * size]), fe.execute(), fe.sync())
        answer = client.receive_ready()
        assert answer[2].values == [str(size).encode()]


def test_large_value(balancer, bounded, dbname):
    _large_value(balancer, bounded, dbname, 256 * MIB)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_value_of_nearly_1_gib(balancer, bounded, dbname):
    """The largest that PostgreSQL itself can take."""
    _large_value(balancer, bounded, dbname, 1023 * MIB)


def test_large_statement_text(balancer, bounded, dbname):
    """A text beyond what is worth understanding is passed on, not collected without bound."""
    size = 64 * MIB
    with connected(balancer, dbname, timeout=120) as client:
        client.send(fe.query("SELECT length('" + "z" * size + "')"))
        assert client.receive_ready()[1].values == [str(size).encode()]
        assert client.value("SELECT 1") == "1"


def _copy_both_ways(balancer, bounded, cluster, dbname, megabytes):
    cluster.primary.query("CREATE UNLOGGED TABLE items (data text)", dbname=dbname, user="app")
    line = b"x" * 1023 + b"\n"
    chunk = fe.copy_data(line * 64)
    with connected(balancer, dbname, timeout=120) as client, bounded():
        client.send(fe.query("COPY items FROM STDIN"))
        client.receive_until(b"G")
        for _ in range(megabytes * 16):
            client.send(chunk)
        client.send(fe.copy_done())
        assert client.receive_ready()[0].tag == f"COPY {megabytes * 1024}"
        client.send(fe.query("COPY items TO STDOUT"))
        assert client.drain_ready() == megabytes * MIB


def test_copy_both_ways(balancer, bounded, cluster, dbname):
    _copy_both_ways(balancer, bounded, cluster, dbname, 64)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_copy_both_ways_2_gib(balancer, bounded, cluster, dbname):
    _copy_both_ways(balancer, bounded, cluster, dbname, 2048)


def test_copy_in_one_enormous_message(balancer, bounded, cluster, dbname):
    cluster.primary.query("CREATE UNLOGGED TABLE items (data text)", dbname=dbname, user="app")
    lines = 100 * 1024
    with connected(balancer, dbname, timeout=120) as client, bounded():
        client.send(fe.query("COPY items FROM STDIN"))
        client.receive_until(b"G")
        client.send(fe.copy_data((b"x" * 1023 + b"\n") * lines), fe.copy_done())
        assert client.receive_ready()[0].tag == f"COPY {lines}"


def test_slow_reader_stops_the_server_not_the_worker(balancer, bounded, dbname):
    """The client reads nothing for a while: the reply waits in the server; others on the same worker are served meanwhile."""
    slow = [connected(balancer, dbname, timeout=120) for _ in range(6)]
    with bounded(), connected(balancer, dbname) as other:
        for client in slow:
            client.send(fe.query("SELECT repeat('x', 1000) FROM generate_series(1, 30000)"))
        for i in range(100):
            assert other.value(f"SELECT {i}") == str(i)
        for client in slow:
            assert client.drain_ready() == 30000 * 1006
    for client in slow:
        client.close()


def test_slow_server_stops_the_client(balancer, bounded, cluster, dbname):
    """The server is busy and reads nothing while the client sends on: its bytes wait in the client."""
    cluster.primary.query("CREATE UNLOGGED TABLE items (data text)", dbname=dbname, user="app")
    with connected(balancer, dbname, timeout=60) as client, bounded():
        data = fe.query("SELECT pg_sleep(1)") + fe.query("COPY items FROM STDIN") + fe.copy_data((b"y" * 999 + b"\n") * 50000)
        sender = threading.Thread(target=client.send, args=(data, fe.copy_done()))
        sender.start()
        replies = client.receive_ready() + client.receive_ready()
        sender.join()
        assert replies[-2].tag == "COPY 50000"


@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named"])
def test_pipeline_of_100000_statements(balancer, bounded, dbname, named):
    """All are sent while the replies are being read, without a Sync before the end."""
    count = 100_000
    with connected(balancer, dbname, timeout=100) as client, bounded():
        prefix = fe.parse("s", "SELECT $1::int") if named else b""

        def send():
            client.send(prefix)
            for begin in range(0, count, 1000):
                parts = []
                for i in range(begin, begin + 1000):
                    value = str(i).encode()
                    statement = b"" if named else fe.parse("", "SELECT $1::int")
                    parts.append(statement + fe.bind("", "s" if named else "", [value]) + fe.execute())
                client.send(*parts)
            client.send(fe.sync())

        sender = threading.Thread(target=send)
        sender.start()
        rows = 0
        while (message := client.receive()).kind != b"Z":
            if message.kind == b"D":
                assert message.payload[6:] == str(rows).encode()
                rows += 1
            assert message.kind != b"E", message
        sender.join()
        assert rows == count


def test_pipeline_sent_whole_before_anything_is_read(balancer, bounded, dbname):
    """As much as the socket buffers and the server take without a reader: no deadlock once the client reads."""
    count = 20_000
    with connected(balancer, dbname, timeout=60) as client, bounded():
        data = b"".join(fe.parse("", "SELECT 1") + fe.bind() + fe.execute() for _ in range(count)) + fe.sync()
        client.socket.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < len(data):
                sent += client.socket.send(data[sent : sent + 65536])
        client.socket.setblocking(True)
        sender = threading.Thread(target=client.send, args=(data[sent:],))
        sender.start()
        messages = client.receive_ready()
        sender.join()
        assert sum(m.kind == b"D" for m in messages) == count


def test_simple_queries_sent_ahead(balancer, bounded, dbname):
    count = 20_000
    with connected(balancer, dbname, timeout=60) as client, bounded():
        sender = threading.Thread(target=lambda: client.send(b"".join(fe.query(f"SELECT {i}") for i in range(count))))
        sender.start()
        for i in range(count):
            assert client.receive_ready()[1].values == [str(i).encode()]
        sender.join()


def test_row_of_many_columns_and_error_of_great_length(balancer, dbname):
    with connected(balancer, dbname, timeout=30) as client:
        columns = ", ".join(f"{i} AS c{i}" for i in range(1600))
        messages = client.query(f"SELECT {columns}")
        assert len(messages[0].columns) == 1600 and messages[1].values[-1] == b"1599"
        error = client.query("DO $$ BEGIN RAISE EXCEPTION '%', repeat('e', 5000000); END $$")[0]
        assert len(error.fields["M"]) == 5_000_000
        notice = client.query("DO $$ BEGIN RAISE NOTICE '%', repeat('n', 5000000); END $$")[0]
        assert len(notice.fields["M"]) == 5_000_000
        assert client.value("SELECT 1") == "1"
