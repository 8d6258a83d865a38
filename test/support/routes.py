"""Where statements ran, by the servers' own logs, which must show every statement (log_statement = all)."""

import itertools

from .postgres import PostgresCluster
from .waiting import await_condition

_number = itertools.count(1)


def tag() -> str:
    """A word that no statement has contained yet."""
    return f"tag{next(_number)}x"


class Routes:
    """Reads the logs of a cluster; a statement is known by a word in it."""

    def __init__(self, cluster: PostgresCluster):
        self.cluster = cluster

    def counts(self, word: str) -> list[int]:
        """How often each server was given a statement with this word: the primary first, then the standbys."""
        return [
            sum(word in line for line in server.log_text().splitlines() if self.is_statement(line))
            for server in self.cluster.servers
        ]

    @staticmethod
    def is_statement(line: str) -> bool:
        return "LOG:  statement:" in line or "LOG:  execute " in line

    def nodes(self, word: str) -> list[int]:
        """The nodes that ran it, in ascending order, once each."""
        return [node for node, count in enumerate(self.counts(word)) if count]

    def await_standby_reads(self, target, statement: str, deadline: float = 10, **parameters) -> None:
        """Returns when a standby serves this read to a new session: roles, positions and catalog are known then."""

        def on_standby():
            word = tag()
            with target.connect(**parameters) as connection:
                connection.execute(f"{statement} /* {word} */")
            return self.nodes(word) not in ([], [0])

        await_condition(on_standby, deadline, "reads reach standbys")
