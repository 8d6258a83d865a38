"""The same conversation with two servers, reply for reply.

A conversation is a list of steps. A step is (who, bytes, until): the client called `who` sends the bytes, then reads up to the first
message of a kind in `until` ("" = reads nothing). Clients are made as they first speak, with parameters per name.
"""

import contextlib
from typing import NamedTuple

from . import frontend
from .backend import Message
from .raw_client import ConnectionClosed, connected


class Step(NamedTuple):
    who: str
    data: bytes
    until: str = "Z"


def say(*parts: bytes, until: str = "Z", who: str = "a") -> Step:
    return Step(who, b"".join(parts), until)


def query(sql: str, who: str = "a") -> Step:
    return say(frontend.query(sql), who=who)


def hold(target, dbname: str, steps: list[Step], parameters: dict[str, dict] | None = None, split: bool = False,
         timeout: float = 10) -> list[list[Message]]:  # fmt: skip
    """Runs the conversation; the replies of each step. A connection that is closed ends with a message of kind b"<".

    With `split`, every byte is sent by itself.
    """
    replies = []
    with contextlib.ExitStack() as stack:
        clients = {}
        for step in steps:
            if step.who not in clients:
                given = {"user": "app"} | (parameters or {}).get(step.who, {})
                clients[step.who] = stack.enter_context(connected(target, dbname, timeout=timeout, **given))
            client = clients[step.who]
            if split:
                client.send_split(step.data, range(1, len(step.data)), pause=0)
            else:
                client.send(step.data)
            try:
                replies.append(client.receive_until(*[kind.encode() for kind in step.until]) if step.until else [])
            except ConnectionClosed as closed:
                replies.append([*closed.messages, Message(b"<", b"")])
    return replies


def kinds(messages: list[Message]) -> str:
    """A reply in short: "12DCZ"."""
    return "".join(m.kind.decode() for m in messages)


def assert_same(steps: list[Step], got: list[list[Message]], expected: list[list[Message]]) -> None:
    for number, (step, ours, theirs) in enumerate(zip(steps, got, expected, strict=True)):
        assert [m.comparable for m in ours] == [m.comparable for m in theirs], (
            f"step {number}: {step.who} sent {step.data!r}\n  got      {ours}\n  expected {theirs}"
        )
