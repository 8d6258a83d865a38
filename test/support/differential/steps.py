"""What a conversation is made of. Steps are taken one at a time, in order, so that its outcome is determined.

A Step is what one session sends at once and reads before anybody goes on; an Event happens to the cluster, and on a direct
connection means nothing.
"""

from typing import NamedTuple

from .. import frontend

# Answered with ReadyForQuery.
_ASKING = ("query", "sync", "function_call")


class Part(NamedTuple):
    """A message, as the name of a function in support.frontend and its arguments; "await" is none: what was gathered is sent,
    and replies are read up to one of the kinds it names.
    """

    function: str
    arguments: tuple = ()

    @property
    def data(self) -> bytes:
        return getattr(frontend, self.function)(*self.arguments)

    def __str__(self) -> str:
        return f"fe.{self.function}({', '.join(map(repr, self.arguments))})"


class Step(NamedTuple):
    who: str
    parts: tuple[Part, ...]

    @property
    def exchanges(self) -> list[tuple[list[Part], str]]:
        """What is sent, and up to what is read then. Every exchange but the last of them may end early by an error."""
        done, gathered = [], []
        ready = 0
        for part in self.parts:
            if part.function == "await":
                done.append((gathered, part.arguments[0]))
                gathered = []
            else:
                gathered.append(part)
                ready += part.function in _ASKING
        done += [(gathered, "Z")] if ready else []
        return done + [([], "Z")] * (ready - 1)

    def __str__(self) -> str:
        """As calls of support.comparison.say."""
        lines = []
        for parts, until in self.exchanges:
            how = "" if until == "Z" else f", until={until!r}"
            lines.append(f"say({', '.join([*map(str, parts), f'who={self.who!r}'])}{how}),")
        return "\n".join(lines)


class Event(NamedTuple):
    what: str

    def __str__(self) -> str:
        return f"# {self.what}"


class Conversation(NamedTuple):
    """`parameters`: what each session's startup packet says, by its name."""

    steps: tuple[Step | Event, ...]
    parameters: dict[str, dict[str, str]]
    ddl: bool = False

    @property
    def statements(self) -> int:
        """How many statements it asks for: Queries with several count once."""
        counted = ("query", "execute", "function_call")
        return sum(p.function in counted for s in self.steps if isinstance(s, Step) for p in s.parts)

    def __str__(self) -> str:
        given = {who: parameters for who, parameters in self.parameters.items() if parameters}
        return "\n".join([*map(str, self.steps), *([f"parameters={given!r}"] if given else [])])
