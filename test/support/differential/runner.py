"""Holds a conversation with one server and returns everything that came back."""

import contextlib
from typing import NamedTuple

from .. import frontend
from ..backend import Message
from ..raw_client import ConnectionClosed, RawClient, connected
from .steps import Conversation, Event, Step

CLOSED, SILENT = Message(b"<", b""), Message(b"?", b"")


class Outcome(NamedTuple):
    """`replies` per step; a connection that was closed ends with CLOSED, one that said nothing in time with SILENT, and then
    nobody says more. `notifications` per session, in their order: when exactly they come is nobody's promise.
    `parameters`: what each session was last told of its settings.
    """

    replies: list[list[Message]]
    notifications: dict[str, list[Message]]
    parameters: dict[str, dict[str, str]]


def hold(target, dbname: str, conversation: Conversation, happen=None, timeout: float = 10) -> Outcome:
    """`happen(what)` makes an event happen; without it there are none. Sessions leave as the conversation leaves them, but
    are read to the end first.
    """
    outcome = Outcome([], {}, {})
    with contextlib.ExitStack() as stack:
        clients: dict[str, RawClient] = {}
        for step in conversation.steps:
            if isinstance(step, Event):
                outcome.replies.append([])
                if happen:
                    happen(step.what)
                continue
            if step.who not in clients:
                given = conversation.parameters.get(step.who, {})
                clients[step.who] = stack.enter_context(connected(target, dbname, timeout=timeout, **given))
            messages = _take(clients[step.who], step)
            outcome.notifications.setdefault(step.who, []).extend(m for m in messages if m.kind == b"A")
            outcome.replies.append([m for m in messages if m.kind != b"A"])
            if messages[-1] == SILENT:
                break
        for who, client in clients.items():
            outcome.parameters[who] = dict(client.parameters)
            outcome.notifications[who] += _late_notifications(client)
    return outcome


def _take(client: RawClient, step: Step) -> list[Message]:
    replies: list[Message] = []
    try:
        for parts, until in step.exchanges:
            if parts:
                client.send(*(part.data for part in parts))
            _read(client, until, replies)
    except (ConnectionClosed, BrokenPipeError, ConnectionResetError):
        replies.append(CLOSED)
    except TimeoutError:
        replies.append(SILENT)
    return replies


def _read(client: RawClient, until: str, replies: list[Message]) -> None:
    while True:
        replies.append(client.receive())
        if replies[-1].kind.decode() in until:
            return


def _late_notifications(client: RawClient) -> list[Message]:
    """A server process that was told of a notification passes it on before it answers; not inside a transaction."""
    try:
        client.send(frontend.query("ROLLBACK"))
        return [m for m in client.receive_ready() if m.kind == b"A"]
    except (ConnectionClosed, OSError):
        return []
