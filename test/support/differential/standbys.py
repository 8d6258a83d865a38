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
                await_condition(lambda: self._reads_reach_standbys(observer), 1, interval=0.003)
        else:
            self._stopped.execute(f"SELECT pg_wal_replay_{what}()")

    @staticmethod
    def _reads_reach_standbys(observer) -> bool:
        observer.query("SELECT n FROM marks")  # has the catalog read again, should that be needed
        return observer.value("EXPLAIN ROUTE SELECT n FROM marks") != "0"

    def catch_up(self) -> None:
        """Returns when both have replayed everything, and reads reach them."""
        self.happen("resume")
        (position,) = self._primary.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
        for standby in self._standbys:
            replayed = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
            await_condition(lambda: standby.execute(replayed, [position]).fetchone()[0], 20, "replay", interval=0.005)
        self.happen("rest")

    def reads(self) -> int:
        """How many reads pgbalancer has given to standbys, one or so per rest included."""
        rows = self._target.show("POOL_BACKEND_STATS")
        return sum(int(row["select_cnt"]) for row in rows if row["role"] == "standby")
