"""What a measurement stands on: a throw-away server with pgbench's tables, gone however the measurement ends."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from proxies import DATABASE, USER, Setup
from support import processes
from support.paths import postgres_program
from support.postgres import HOST, PostgresCluster
from support.tempdirs import SessionDirectory

_POOL = 32  # server connections per worker: pgbalancer's default max_pool


def _end(signum: int, _frame) -> None:
    raise SystemExit(128 + signum)


@contextmanager
def stage(workers: int, transport: str, scale: int) -> Iterator[Setup]:
    """The setup for contestants. SIGTERM and SIGHUP too take all down; after SIGKILL the kernel ends what runs."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _end)
    capacity = _POOL * workers
    session = SessionDirectory()
    try:
        # Every contestant keeps its server connections while the others are measured.
        cluster = PostgresCluster(session, max_connections=str(8 * capacity), shared_buffers="256MB", autovacuum="off")
        try:
            with cluster.database(DATABASE):
                _fill(cluster, scale)
                yield Setup(session, cluster, workers, capacity, transport)
        finally:
            cluster.stop()
    finally:
        session.remove()


def _fill(cluster: PostgresCluster, scale: int) -> None:
    target = ["-h", HOST, "-p", str(cluster.primary.port), "-U", USER, DATABASE]
    processes.run_as_server_user([postgres_program("pgbench"), "-i", "-q", "-s", str(scale), *target])
    cluster.primary.query("VACUUM ANALYZE", dbname=DATABASE)
    cluster.primary.query("CHECKPOINT")
