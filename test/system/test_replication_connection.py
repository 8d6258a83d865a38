"""Replication connections pass through on a server connection of their own, in both pool modes."""

import subprocess

import pytest

from support import frontend as fe
from support import processes
from support.comparison import query
from support.paths import postgres_program
from support.raw_client import RawClient, connected
from support.waiting import await_condition


def psql(server, replication, command, dbname="postgres"):
    conninfo = f"host={server.host} port={server.port} user=postgres dbname={dbname} replication={replication}"
    done = subprocess.run(
        [postgres_program("psql"), "-X", "-A", "-t", "-c", command, conninfo], capture_output=True, text=True, timeout=30
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("replication", ["true", "database"])
def test_identify_system(target, cluster, replication):
    direct = psql(cluster.primary, replication, "IDENTIFY_SYSTEM").split("|")
    pooled = psql(target, replication, "IDENTIFY_SYSTEM").split("|")
    assert pooled[:2] == direct[:2] and pooled[3] == direct[3]
    assert psql(target, replication, "SHOW wal_level") == psql(cluster.primary, replication, "SHOW wal_level")


def test_sql_on_a_logical_replication_connection(target, dbname):
    assert psql(target, "database", "SELECT current_database()", dbname) == f"{dbname}\n"


def test_pg_basebackup(target, tmp_path, session_directory):
    """It opens a second connection for the log while the first copies the files."""
    directory = session_directory.make("backup", for_server=True)
    processes.run_as_server_user(
        [postgres_program("pg_basebackup"), "-h", target.host, "-p", str(target.port), "-U", "postgres",
         "-D", directory / "data", "-X", "stream", "-c", "fast", "--no-sync"]
    )  # fmt: skip
    assert (directory / "data" / "backup_label").exists()
    processes.run_as_server_user([postgres_program("pg_verifybackup"), directory / "data"])


def test_pg_receivewal(target, cluster, session_directory):
    directory = session_directory.make("wal", for_server=True)
    process = processes.spawn(
        [postgres_program("pg_receivewal"), "-h", target.host, "-p", str(target.port), "-U", "postgres", "-D", directory,
         "--synchronous", "--no-loop"],
        as_server_user=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        # It says how far it has got, in CopyData of its own: both directions carry messages.
        flushed = "SELECT 1 FROM pg_stat_replication WHERE application_name = 'pg_receivewal' AND flush_lsn >= %s"
        cluster.primary.query("SELECT pg_logical_emit_message(false, 'test', repeat('x', 100000))")
        position = cluster.primary.scalar("SELECT pg_current_wal_lsn()")
        await_condition(lambda: cluster.primary.query(flushed, [position]), 20, "the log arrives")
    finally:
        process.terminate()
        process.wait(10)
    assert list(directory.glob("0000*"))


def test_pg_recvlogical(target, cluster, dbname):
    cluster.primary.query("CREATE TABLE items (id int)", dbname=dbname)
    program = [postgres_program("pg_recvlogical"), "-h", target.host, "-p", str(target.port), "-U", "postgres", "-d", dbname]
    slot = f"slot_{dbname}"
    subprocess.run([*program, "--slot", slot, "--create-slot", "-P", "test_decoding"], check=True, timeout=30)
    try:
        cluster.primary.query("INSERT INTO items SELECT generate_series(1, 1000)", dbname=dbname)
        end = cluster.primary.scalar("SELECT pg_current_wal_lsn()")
        done = subprocess.run(
            [*program, "--slot", slot, "--start", "-f", "-", "--endpos", str(end), "--no-loop"],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert done.stdout.count("INSERT") == 1000
    finally:
        subprocess.run([*program, "--slot", slot, "--drop-slot"], check=True, timeout=30)


@pytest.mark.pooler_only
def test_it_has_a_server_connection_to_itself(make_balancer, cluster, dbname):
    balancer = make_balancer(num_init_children=1, max_pool=2)
    with connected(balancer, dbname, "postgres", replication="database") as replication:
        first = replication.query("IDENTIFY_SYSTEM")
        assert any(m.kind == b"D" for m in first)
        with connected(balancer, dbname, "postgres") as client:
            for i in range(5):
                assert client.value(f"SELECT {i}") == str(i)
        shown = [row for row in balancer.show("POOL_PROCESSES") if row["pinned_reason"]]
        assert len(shown) == 1 and "replication" in shown[0]["pinned_reason"]
    # It is closed with its client, not given to another.
    gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'walsender'"
    await_condition(lambda: cluster.primary.scalar(gone))


def test_replication_commands_are_for_replication_connections(target, same):
    same(target, query("IDENTIFY_SYSTEM"), query("START_REPLICATION 0/0"))


def test_roles_without_replication_are_refused(cluster, target, dbname):
    errors = []
    for server in (cluster.primary, target):
        with RawClient(server) as client:
            client.send(fe.startup({"user": "app", "database": dbname, "replication": "true"}))
            errors.append([m.comparable for m in client.receive_to_end() if m.kind == b"E"])
    assert errors[1] == errors[0] and errors[0]
