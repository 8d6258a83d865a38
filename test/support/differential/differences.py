"""What of the replies is compared: all of it, but for what cannot be the same.

Left out are: process ids and oids (backend.Message.comparable); the number in the name of a session's temporary schema, which
is that of a server process; when a notification comes, which is any moment (their order counts).
"""

import re
from typing import NamedTuple

from ..backend import Message
from .runner import Outcome
from .steps import Conversation

_TEMPORARY_SCHEMA = re.compile(r"pg_(toast_)?temp_\d+")


def _plain(value):
    if isinstance(value, str):
        return _TEMPORARY_SCHEMA.sub(r"pg_\1temp_N", value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value


def comparable(messages: list[Message]) -> list[tuple]:
    return [tuple(map(_plain, message.comparable)) for message in messages]


class Difference(NamedTuple):
    """`place`: the number of the step, or of the last one. `kind`: what came, and what should have come, in short."""

    place: int
    words: str
    kind: tuple


def _in_short(messages: list[Message], number: int) -> str:
    if number >= len(messages):
        return "nothing"
    message = messages[number]
    return message.sqlstate if message.kind in b"EN" else message.kind.decode()


def _kind(got: list[Message], expected: list[Message]) -> tuple:
    pairs = zip(comparable(got), comparable(expected))
    first = next((n for n, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(got), len(expected)))
    return _in_short(got, first), _in_short(expected, first)


def difference(conversation: Conversation, got: Outcome, expected: Outcome) -> Difference | None:
    """The first one."""
    for number, step in enumerate(conversation.steps):
        ours = got.replies[number] if number < len(got.replies) else []
        theirs = expected.replies[number] if number < len(expected.replies) else []
        if comparable(ours) != comparable(theirs):
            return Difference(number, f"{step}\n  got      {ours}\n  expected {theirs}", _kind(ours, theirs))
    for what in ("notifications", "parameters"):
        for who, theirs in getattr(expected, what).items():
            ours = getattr(got, what).get(who)
            equal = comparable(ours) == comparable(theirs) if what == "notifications" else ours == theirs
            if not equal:
                return Difference(number, f"{what} of {who}\n  got      {ours}\n  expected {theirs}", (what,))
    return None
