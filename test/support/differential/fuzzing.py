"""Conversations from seeds, held with PostgreSQL and with pgbalancer, until so many statements have been compared."""

import contextlib

from ..postgres import PostgresCluster
from ..raw_client import connected
from ..waiting import await_condition
from . import schema
from .differences import Difference, difference
from .generator import Generator
from .runner import hold
from .shrinking import shrink
from .standbys import Standbys
from .steps import Conversation

_STEPS = 70


class OutcomeDiffers(AssertionError):
    pass


class Differential:
    """`expected`: the server and the database that are right; `got`: pgbalancer and a database of its cluster."""

    def __init__(self, cluster: PostgresCluster, direct: tuple, through: tuple, shared: bool):
        self._direct, self._through, self._shared = direct, through, shared
        self._names = [dbname for _, dbname in (direct, through)]
        self._primary = cluster.primary
        self._renew = True
        for _, dbname in (direct, through):
            self._make_anew(cluster.primary, dbname)
        cluster.primary.query("GRANT app TO other")
        self.standbys = Standbys(cluster, *through)
        # The first question in a pool may be answered with an error (doc/LIFE_OF_A_QUERY.md, "Sequences").
        with connected(*through, user="other") as client:
            client.query("SELECT lastval()")
        self.statements = 0

    def close(self) -> None:
        self.standbys.close()

    def run(self, seed: str, statements: int, shrink_seconds: float) -> None:
        """Raises OutcomeDiffers with the seed of the conversation and what is left of it."""
        number = 0
        while self.statements < statements:
            name = f"{seed}.{number}"
            conversation = Generator(name, self._shared).conversation(_STEPS)
            found = self.compare(conversation)
            if found is not None:
                left = self.smallest(conversation, found, shrink_seconds)
                raise OutcomeDiffers(f"seed {name}: {found.words}\n\n{left}")
            self.statements += conversation.statements
            number += 1

    def compare(self, conversation: Conversation, timeout: float = 10) -> Difference | None:
        """The first difference."""
        self._prepare(*self._through)
        self._prepare(*self._direct)
        self._renew = conversation.ddl
        expected = hold(*self._direct, conversation, timeout=timeout)
        self.standbys.catch_up()
        got = hold(*self._through, conversation, self.standbys.happen, timeout)
        return difference(conversation, got, expected) or self._different_rows(conversation)

    def smallest(self, conversation: Conversation, found: Difference, seconds: float) -> str:
        """What is left of a conversation that differs, in words."""

        def differs(smaller):
            difference = self.compare(smaller, 2)
            return difference is not None and difference.kind == found.kind

        left = shrink(conversation, found.place, differs, seconds)
        again = self.compare(left)
        how = again.words if again else "no difference this time: it depends on timing"
        return f"What is left of it:\n{left}\n\nand its difference:\n{how}"

    # Both databases begin a conversation with the same rows. Sessions that are just ending may still hold locks.

    def _prepare(self, target, dbname: str) -> None:
        sql = schema.create() if self._renew else schema.refill()

        def done():
            with connected(target, dbname, options="-c client_min_messages=error") as client:
                failed = [m.fields["M"] for m in client.query(sql) if m.kind == b"E"]
                assert not failed, failed
            return True

        await_condition(done, 15, "the rows are put back")

    @staticmethod
    def _make_anew(server, dbname: str) -> None:
        with contextlib.closing(server.connect(dbname=dbname, user="app")) as connection:
            connection.execute(schema.create())

    def _different_rows(self, conversation: Conversation) -> Difference | None:
        """What committed, as the primary itself shows it."""
        expected, got = [self._primary.query(schema.contents(), dbname=name)[0] for name in self._names]
        if got == expected:
            return None
        return Difference(len(conversation.steps), f"rows in the end\n  got      {got}\n  expected {expected}", ("rows",))
