"""Makes two standbys lag: one replays commits late, the other can be stopped; both catch up on demand."""

import contextlib

from ..postgres import PostgresCluster
from ..raw_client import connected
from ..waiting import ConditionNotMet, await_condition

_DELAY = "100ms"


class Standbys:
    """Of a cluster with two. `target` is pgbalancer before it, `dbname` a database with the objects of schema.py."""

    def __init__(self, cluster: PostgresCluster, target, dbname: str):
        self._stack = contextlib.ExitStack()
        self._primary = self._stack.enter_context(cluster.primary.connect())
        late, self._stopped = [self._stack.enter_context(server.connect()) for server in cluster.standbys]
        self._standbys = [late, self._stopped]
        self._target, self._dbname = target, dbname
        late.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = '{_DELAY}'")
        late.execute("SELECT pg_reload_conf()")

    def close(self) -> None:
        self._stack.close()

    def happen(self, what: str) -> None:
        """`rest`: nobody says anything until reads of who has just written reach a standby again, or a second has passed."""
        if what == "rest":
            with connected(self._target, self._dbname) as observer, contextlib.suppress(ConditionNotMet):
                observer.query("UPDATE marks SET n = n + 1")
                await_condition(lambda: observer.value("SELECT on_standby()") == "t", 1, interval=0.003)
        else:
            self._stopped.execute(f"SELECT pg_wal_replay_{what}()")

    def catch_up(self) -> None:
        """Returns when both have replayed everything, and reads reach them."""
        self.happen("resume")
        (position,) = self._primary.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
        for standby in self._standbys:
            replayed = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
            await_condition(lambda: standby.execute(replayed, [position]).fetchone()[0], 20, "replay", interval=0.005)
        self.happen("rest")

    def reads(self) -> int:
        """How many transactions the standbys have run in the database, as far as they have counted."""
        count = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s"
        return sum(standby.execute(count, [self._dbname]).fetchone()[0] for standby in self._standbys)
