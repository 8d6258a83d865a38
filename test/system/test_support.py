"""The support library against PostgreSQL itself: an oracle that errs is worse than none."""

import os
import signal
import subprocess
import sys

import psycopg
import pytest

from support import frontend, processes
from support.fake_server import FaultyServer, ScriptedServer, accept_login, read_message
from support.paths import ROOT
from support.ports import free_port
from support.raw_client import ConnectionClosed, cancel, connected
from support.waiting import ConditionNotMet, await_condition


def test_await_condition_reports_the_last_value():
    values = iter([0, 0, 7])
    assert await_condition(lambda: next(values)) == 7
    with pytest.raises(ConditionNotMet, match="last: 0"):
        await_condition(lambda: 0, deadline=0.05)


def test_ports_differ():
    assert len({free_port() for _ in range(20)}) == 20


def test_raw_client_speaks_both_protocols(cluster):
    with connected(cluster.primary) as client:
        assert client.key is not None and client.parameters["server_encoding"] == "UTF8"
        assert client.value("SELECT 42") == "42"
        messages = client.ask(frontend.extended("SELECT $1::int + 1", [b"41"]), frontend.sync())
        assert "".join(m.kind.decode() for m in messages) == "12TDCZ"
        assert messages[3].values == [b"42"] and messages[-1].status == "I"


def test_raw_client_splits_what_it_sends(cluster):
    data = frontend.query("SELECT 'split'")
    with connected(cluster.primary) as client:
        client.send_split(data, range(1, len(data)))
        assert client.receive_ready()[1].values == [b"split"]


def test_cancel_by_raw_client(cluster):
    with connected(cluster.primary) as client:
        client.send(frontend.query("SELECT pg_sleep(60)"))
        running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
        await_condition(lambda: cluster.primary.query(running))
        cancel(cluster.primary, client.key)
        assert [m.sqlstate for m in client.receive_ready() if m.kind == b"E"] == ["57014"]


def test_faulty_server_cuts_at_the_byte(cluster):
    with FaultyServer(cluster.primary, passed=()) as server:
        with connected(server) as client:
            client.rows("SELECT 1")
        total = await_condition(lambda: server.bytes_from_server)
        server.cut_after = total - 1  # within the last message
        client = connected(server)
        client.send(frontend.query("SELECT 1"))
        with pytest.raises(ConnectionClosed) as closed:
            client.receive_ready()
        assert [m.name for m in closed.value.messages] == ["RowDescription", "DataRow", "CommandComplete"]


def test_scripted_server_answers(cluster):
    def script(connection, parameters):
        accept_login(connection)
        assert read_message(connection)[0] == b"Q"
        connection.sendall(frontend.message(b"C", b"SELECT 0\0") + frontend.message(b"Z", b"I"))

    with ScriptedServer(cluster.primary, script, passed=()) as server, connected(server) as client:
        assert client.query("anything")[0].tag == "SELECT 0"


def test_standby_streams(session_directory):
    from support.postgres import PostgresCluster

    cluster = PostgresCluster(session_directory, standbys=1)
    try:
        cluster.primary.query("CREATE TABLE t AS SELECT 1 AS a")
        cluster.await_replay()
        assert cluster.standbys[0].query("SELECT a FROM t") == [(1,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            cluster.standbys[0].query("DELETE FROM t")
    finally:
        cluster.stop()


_KILLED_SESSION = """
import sys, time
sys.path.insert(0, sys.argv[1])
from support.postgres import PostgresCluster
from support.tempdirs import SessionDirectory
session = SessionDirectory()
cluster = PostgresCluster(session)
print(session.path, cluster.primary.pid, flush=True)
time.sleep(600)
"""


def test_a_killed_session_leaves_no_server_and_no_files():
    session = subprocess.Popen(
        [sys.executable, "-c", _KILLED_SESSION, str(ROOT / "test")], stdout=subprocess.PIPE, text=True
    )
    path, pid = session.stdout.readline().split()
    session.send_signal(signal.SIGKILL)
    session.wait()
    session.stdout.close()
    await_condition(lambda: not processes.is_alive(int(pid)), what="the postmaster follows")

    from support.tempdirs import reap_abandoned

    # Another session on this machine may be the one that removes it.
    reap_abandoned()
    await_condition(lambda: not os.path.exists(path), what="directory removed")
