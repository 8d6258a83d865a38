"""Every row of routing.tsv that needs no special configuration: EXPLAIN ROUTE says it, and the servers' logs show it."""

import re

import pytest

from support import frontend as fe
from support import routing_facts, routing_table
from support.balancer import PgBalancer
from support.postgres import PostgresCluster
from support.raw_client import connected
from support.routes import Routes, tag

pytestmark = pytest.mark.pooler_only

DATABASE = "routing_table"
BEGINS, TABLE = routing_table.read()
ROWS = [row for row in TABLE if row.configuration == "-" and (row.session == "-" or row.session in BEGINS)]
NODES = {"primary": [{0}], "standby": [{1}, {2}], "1": [{1}], "2": [{2}]}


@pytest.fixture(scope="module")
def trio(session_directory):
    cluster = PostgresCluster(session_directory, standbys=2, log_statement="all")
    cluster.primary.query(f"CREATE DATABASE {DATABASE} OWNER app")
    cluster.primary.query(routing_facts.SCHEMA.read_text(), dbname=DATABASE, user="app")
    cluster.await_replay()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def balancer(session_directory, trio):
    balancer = PgBalancer(session_directory, trio, num_init_children=1, backend_weight0=0, sr_check_period="50ms")
    Routes(trio).await_standby_reads(balancer, "SELECT count(*) FROM t", dbname=DATABASE)
    yield balancer
    balancer.stop()


def test_explain_route_says_what_the_table_says(balancer):
    wrong = []
    for row in (row for row in ROWS if len(row.statements) == 1):
        with connected(balancer, DATABASE) as client:
            if row.session in BEGINS:
                client.query(BEGINS[row.session])
            (answer,) = client.rows(f"EXPLAIN ROUTE {row.statements[0]}")
            node, role, reason = answer[0].decode(), answer[3].decode(), answer[4].decode()
            if row.node not in (node, role) or row.reason != reason:
                wrong.append((row, answer))
    assert wrong == []


def is_logged(row) -> bool:
    """Nothing but a comment is not, nor a BEGIN that no server hears of."""
    return row.statements[0] not in ("BEGIN", "START TRANSACTION", "BEGIN READ ONLY") and all(re.sub(r"--.*|/\*.*?\*/|;|\s", "", statement) for statement in row.statements)


def run(client, row, word) -> list:
    """The replies."""
    if row.session in BEGINS:
        client.query(BEGINS[row.session])
    tagged = [f"{statement} /* {word} */" for statement in row.statements]
    if len(tagged) > 1:
        return client.ask(*(fe.extended(statement) for statement in tagged), fe.sync())
    if re.search("FROM STDIN", tagged[0]):
        return client.ask(fe.query(tagged[0]), fe.copy_fail("no"))
    return client.query(tagged[0])


def test_rows_run_where_the_table_says(balancer, trio):
    """Those that standbys serve come first, because the others change what there is."""
    ran = []
    for row in sorted(filter(is_logged, ROWS), key=lambda row: row.node == "primary"):
        word = tag()
        with connected(balancer, DATABASE) as client:
            replies = run(client, row, word)
        ran.append((row, word, [reply for reply in replies if reply.kind == b"E"]))
    seen = [{} for _ in trio.servers]
    for node, server in enumerate(trio.servers):
        for line in server.log_text().splitlines():
            if "LOG:  statement:" in line or "LOG:  execute " in line:
                for word in re.findall(r"tag\d+x", line):
                    seen[node].setdefault(word, line)
    wrong = []
    for row, word, errors in ran:
        nodes = {node for node in range(len(seen)) if word in seen[node]}
        if errors:
            # What the server's parser refuses is in no log as a statement; what fails on a standby is tried on the primary.
            nodes = {0} if not nodes else nodes - {0} or {0}
        if nodes not in NODES[row.node]:
            wrong.append(f"{row.line}: {row.statements} [{row.session}] {row.node}, not {nodes}; {[e.fields['M'] for e in errors]}")
    assert not wrong, "\n".join(wrong)
    assert len(ran) >= 400
