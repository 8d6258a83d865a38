"""Thousands of PostgreSQL clients in one process: raw sockets, one epoll loop, trust authentication.

A libpq connection costs this side far more than a pooler spends on its own, so the crowd speaks just enough of the
protocol itself: log in, send one request per client, collect the answer up to ReadyForQuery. Requests are small: one
that does not fit into the socket's buffer is an error of who wrote it.
"""

import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_LOGINS_AT_ONCE = 100  # well below any listen backlog

Message = tuple[bytes, bytes]  # type byte, payload


def startup(user: str, database: str) -> bytes:
    parameters = b"".join(text.encode() + b"\0" for text in ("user", user, "database", database)) + b"\0"
    return struct.pack("!ii", len(parameters) + 8, 3 << 16) + parameters


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def query(sql: str) -> bytes:
    return message(b"Q", sql.encode() + b"\0")


def parse(name: str, sql: str) -> bytes:
    """Parse, to be followed by Sync."""
    return message(b"P", name.encode() + b"\0" + sql.encode() + b"\0" + struct.pack("!h", 0))


def execute(name: str, parameter: str) -> bytes:
    """Bind with one text parameter to the unnamed portal and Execute, to be followed by Sync."""
    value = parameter.encode()
    bind = b"\0" + name.encode() + b"\0" + struct.pack("!hhi", 0, 1, len(value)) + value + struct.pack("!h", 0)
    return message(b"B", bind) + message(b"E", b"\0" + struct.pack("!i", 0))


SYNC = message(b"S", b"")


def first_value(messages: list[Message]) -> str:
    """The first column of the only row, as text; an error of the server raises."""
    rows = []
    for kind, payload in messages:
        if kind == b"E":
            raise ValueError(error_text(payload))
        if kind == b"D":
            length = struct.unpack_from("!i", payload, 2)[0]
            rows.append(payload[6 : 6 + length].decode())
    if len(rows) != 1:
        raise ValueError(f"{len(rows)} rows instead of one")
    return rows[0]


def no_error(messages: list[Message]) -> None:
    for kind, payload in messages:
        if kind == b"E":
            raise ValueError(error_text(payload))


def error_text(payload: bytes) -> str:
    fields = {f[:1]: f[1:].decode(errors="replace") for f in payload.split(b"\0") if f}
    return f"{fields.get(b'C', '?????')} {fields.get(b'M', '?')}"


class Client:
    """One connection and what of its current answer has come."""

    def __init__(self, index: int, port: int):
        self.index = index
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setblocking(False)
        self.local_port = self.socket.getsockname()[1]
        self.answer: list[Message] = []
        self.asked_at = 0.0
        self._partial = b""

    def ask(self, request: bytes) -> None:
        self.answer = []
        self.asked_at = time.monotonic()
        if self.socket.send(request) != len(request):
            raise RuntimeError("a request larger than the socket's buffer")

    def receive(self) -> bool:
        """Takes what has come; true once the answer is complete. ConnectionError when the other side closed."""
        data = self.socket.recv(65536)
        if not data:
            last = error_text(self.answer[-1][1]) if self.answer and self.answer[-1][0] == b"E" else "no reason given"
            raise ConnectionError(f"closed by the other side: {last}")
        data = self._partial + data
        offset = 0
        complete = False
        while len(data) - offset >= 5:
            length = struct.unpack_from("!i", data, offset + 1)[0]
            if len(data) - offset < length + 1:
                break
            kind = data[offset : offset + 1]
            self.answer.append((kind, data[offset + 5 : offset + 1 + length]))
            complete = complete or kind == b"Z"
            offset += length + 1
        self._partial = data[offset:]
        return complete


@dataclass
class Outcome:
    """What came of one request per client."""

    asked: int = 0
    answered: int = 0
    errors: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)  # seconds, of those answered

    @property
    def all_right(self) -> bool:
        return self.answered == self.asked and not self.errors


class Crowd:
    """Clients of one port. close() it, or use it as a context."""

    def __init__(self, port: int, user: str, database: str):
        self.clients: list[Client] = []
        self._port = port
        self._startup = startup(user, database)
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Client] = {}

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        for client in self.clients:
            client.socket.close()
        self.clients.clear()
        self._by_descriptor.clear()
        self._epoll.close()

    def grow(self, size: int) -> None:
        """Logs more clients in until there are `size`; raises unless all of them get in."""
        while len(self.clients) < size:
            batch = []
            while len(batch) < _LOGINS_AT_ONCE and len(self.clients) < size:
                client = Client(len(self.clients), self._port)
                self.clients.append(client)
                self._by_descriptor[client.socket.fileno()] = client
                self._epoll.register(client.socket, select.EPOLLIN)
                batch.append(client)
            outcome = self.ask(lambda _: self._startup, no_error, clients=batch)
            if not outcome.all_right:
                raise RuntimeError(f"{outcome.answered} of {outcome.asked} logins answered, {outcome.errors[:3]}")

    def ask(
        self,
        request: Callable[[Client], bytes],
        check: Callable[[list[Message]], object],
        *,
        expected: Callable[[Client], object] = lambda _: None,
        clients: list[Client] | None = None,
        deadline: float = 120.0,
    ) -> Outcome:
        """One request of every client, all outstanding at the same time; check(answer) must return expected(client).

        A ValueError of check, a wrong answer and a closed connection are errors; clients not heard of by the deadline
        are just not answered.
        """
        asking = self.clients if clients is None else clients
        outcome = Outcome(asked=len(asking))
        waiting = set()
        end = time.monotonic() + deadline
        for client in asking:
            client.ask(request(client))
            waiting.add(client)
        while waiting and time.monotonic() < end:
            for client in self._ready(end):
                try:
                    if not client.receive() or client not in waiting:
                        continue
                    value = check(client.answer)
                    if value != expected(client):
                        raise ValueError(f"answered {value!r} instead of {expected(client)!r}")
                    outcome.answered += 1
                    outcome.latencies.append(time.monotonic() - client.asked_at)
                except (ValueError, OSError) as error:
                    outcome.errors.append(f"client {client.index}: {error}")
                    if isinstance(error, OSError):
                        self._epoll.unregister(client.socket)
                waiting.discard(client)
        return outcome

    def keep_busy(self, clients: list[Client], request: bytes, seconds: float) -> Outcome:
        """These clients repeat the request, each as soon as it is answered, for so long."""
        outcome = Outcome()
        end = time.monotonic() + seconds
        outstanding = 0
        for client in clients:
            client.ask(request)
            outstanding += 1
        while outstanding and time.monotonic() < end + 30:
            for client in self._ready(end + 30):
                if not client.receive():
                    continue
                no_error(client.answer)
                now = time.monotonic()
                if now < end:
                    outcome.answered += 1
                    outcome.latencies.append(now - client.asked_at)
                    client.ask(request)
                else:
                    outstanding -= 1
        outcome.asked = outcome.answered + outstanding
        return outcome

    def _ready(self, end: float) -> list[Client]:
        events = self._epoll.poll(max(0.0, end - time.monotonic()), 1024)
        return [self._by_descriptor[descriptor] for descriptor, _ in events]
