"""pgbench in its three protocols: no errors, and books that balance."""

import re
import subprocess

import pytest

from support.paths import postgres_program

PROTOCOLS = ["simple", "extended", "prepared"]


def pgbench(target, dbname, *arguments, timeout=90):
    done = subprocess.run(
        [postgres_program("pgbench"), "-h", target.host, "-p", str(target.port), "-U", "app", *arguments, dbname],
        capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def transactions(printed):
    return int(re.search(r"number of transactions actually processed: (\d+)", printed).group(1))


@pytest.fixture
def filled(target, dbname):
    """A database that pgbench itself has filled, through the target."""
    pgbench(target, dbname, "-i", "-q", "--foreign-keys", "-s", "2")
    return dbname


def test_tpc_b_balances_in_each_protocol(target, cluster, filled):
    expected = 0
    for protocol in PROTOCOLS:
        printed = pgbench(target, filled, "-n", "-M", protocol, "-c", "12", "-j", "2", "-t", "60")
        assert transactions(printed) == 12 * 60
        assert "number of failed transactions: 0 " in printed
        expected += 12 * 60
    sums = cluster.primary.query(
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),"
        " (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history),"
        " (SELECT count(*) FROM pgbench_history)",
        dbname=filled,
    )[0]
    assert len(set(sums[:4])) == 1 and sums[4] == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_select_only_with_reconnects(balancer, filled_once, protocol):
    printed = pgbench(balancer, filled_once, "-n", "-S", "-C", "-M", protocol, "-c", "8", "-j", "2", "-t", "20")
    assert transactions(printed) == 8 * 20


@pytest.fixture(scope="module")
def filled_once(cluster):
    with cluster.database("bench") as name:
        pgbench(cluster.primary, name, "-i", "-q")
        yield name


SCRIPT = r"""
\set id random(1, 100)
\startpipeline
BEGIN;
SELECT abalance FROM pgbench_accounts WHERE aid = :id;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :id;
UPDATE pgbench_branches SET bbalance = bbalance + 1 WHERE bid = 1;
COMMIT;
\endpipeline
SELECT 1 AS one \gset
"""


@pytest.mark.parametrize("protocol", ["extended", "prepared"])
def test_pipelines(balancer, cluster, dbname, tmp_path, protocol):
    pgbench(cluster.primary, dbname, "-i", "-q")
    script = tmp_path / "pipeline.sql"
    script.write_text(SCRIPT)
    printed = pgbench(balancer, dbname, "-n", "-M", protocol, "-f", str(script), "-c", "8", "-j", "2", "-t", "50")
    assert transactions(printed) == 400
    for column, table in (("abalance", "accounts"), ("bbalance", "branches")):
        assert cluster.primary.scalar(f"SELECT sum({column}) FROM pgbench_{table}", dbname=dbname) == 400


def test_serialization_failures_are_retried(balancer, cluster, dbname, tmp_path):
    """pgbench goes on after 40001 only: it must see PostgreSQL's own code."""
    pgbench(cluster.primary, dbname, "-i", "-q")
    script = tmp_path / "serializable.sql"
    script.write_text(
        "BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT sum(tbalance) FROM pgbench_tellers;\n"
        "UPDATE pgbench_tellers SET tbalance = tbalance + 1 WHERE tid = 1;\nCOMMIT;\n"
    )
    printed = pgbench(balancer, dbname, "-n", "-f", str(script), "-c", "4", "-t", "25", "--max-tries=1000")
    assert transactions(printed) == 100
    assert cluster.primary.scalar("SELECT tbalance FROM pgbench_tellers WHERE tid = 1", dbname=dbname) == 100
