"""Servers that misbehave on command, for pgbalancer to be connected to.

FaultyServer stands before a real PostgreSQL and passes everything on, but can cut a connection at a chosen byte of what
the server says. ScriptedServer answers from a script instead. Both let the users in `passed` (pgbalancer's health check)
through to the real server untouched, so that the node stays "up" whatever is done to clients.
"""

import selectors
import socket
import struct
import threading

from . import frontend
from .ports import free_port
from .postgres import HOST


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


def _read_startup(connection: socket.socket) -> tuple[bytes, dict[str, str]]:
    """The startup packet with its parameters; encryption requests before it are declined."""
    while True:
        head = _read_exactly(connection, 4)
        packet = head + _read_exactly(connection, struct.unpack("!I", head)[0] - 4)
        if packet in (frontend.SSL_REQUEST, frontend.GSSENC_REQUEST):
            connection.sendall(b"N")
            continue
        words = [word.decode() for word in packet[8:].split(b"\0")]
        return packet, dict(zip(words[0::2], words[1::2])) if packet[4:8] == b"\0\3\0\0" else {}


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class _Server:
    """Accepts on a port of its own, one thread per connection, until close()."""

    def __init__(self, upstream, passed: tuple[str, ...]):
        self.host, self.port = HOST, free_port()
        self._upstream = (upstream.host, upstream.port)
        self._passed = passed
        self._listener = socket.create_server((self.host, self.port), backlog=128)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.connections = 0  # of clients not in `passed`, ever
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        with self._lock:
            sockets, self._open = self._open | {self._listener}, set()
        for each in sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            packet, parameters = _read_startup(connection)
            if packet[4:8] == struct.pack("!I", 80877102) or parameters.get("user") in self._passed:
                self._pass_through(connection, packet)
            else:
                self.connections += 1
                self.serve(connection, packet, parameters)
        except (OSError, ConnectionError, struct.error):
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _pass_through(self, connection, packet: bytes, limit: int | None = None, *, with_reset=False, observe=None):
        """Copies both ways; ends after `limit` bytes from the server, by a reset if so asked. `observe` sees those."""
        with socket.create_connection(self._upstream) as server, selectors.DefaultSelector() as selector:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.sendall(packet)
            selector.register(connection, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, connection)
            while limit is None or limit > 0:
                for key, _ in selector.select():
                    from_server = key.fileobj is server
                    data = key.fileobj.recv(1 << 16 if limit is None or not from_server else limit)
                    if not data:
                        return
                    if from_server and observe:
                        observe(data)
                    key.data.sendall(data)
                    if from_server and limit is not None:
                        limit -= len(data)
            if with_reset:
                reset(connection)

    def serve(self, connection: socket.socket, packet: bytes, parameters: dict[str, str]) -> None:
        raise NotImplementedError


class FaultyServer(_Server):
    """Passes everything through, and ends each connection after `cut_after` bytes of the server's (None = never)."""

    def __init__(self, upstream, passed: tuple[str, ...] = ("health", "postgres")):
        self.cut_after: int | None = None
        self.with_reset = False
        self.bytes_from_server = 0
        super().__init__(upstream, passed)

    def _count(self, data: bytes) -> None:
        self.bytes_from_server += len(data)

    def serve(self, connection, packet, parameters):
        self._pass_through(connection, packet, self.cut_after, with_reset=self.with_reset, observe=self._count)


class ScriptedServer(_Server):
    """Answers with `script(connection, parameters)`, which has the socket to itself once the startup packet was read."""

    def __init__(self, upstream, script, passed: tuple[str, ...] = ("health", "postgres")):
        self._script = script
        super().__init__(upstream, passed)

    def serve(self, connection, packet, parameters):
        self._script(connection, parameters)


def accept_login(connection: socket.socket, pid: int = 4711, secret: bytes = b"\1\2\3\4") -> None:
    """A server's answer to a startup packet it trusts."""
    parameters = {
        "server_version": "15.0",
        "server_encoding": "UTF8",
        "client_encoding": "UTF8",
        "DateStyle": "ISO, MDY",
        "IntervalStyle": "postgres",
        "TimeZone": "Etc/UTC",
        "integer_datetimes": "on",
        "standard_conforming_strings": "on",
        "is_superuser": "off",
        "session_authorization": "app",
        "application_name": "",
        "default_transaction_read_only": "off",
        "in_hot_standby": "off",
    }
    data = frontend.message(b"R", struct.pack("!i", 0))
    for name, value in parameters.items():
        data += frontend.message(b"S", name.encode() + b"\0" + value.encode() + b"\0")
    data += frontend.message(b"K", struct.pack("!i", pid) + secret) + frontend.message(b"Z", b"I")
    connection.sendall(data)


def read_message(connection: socket.socket) -> tuple[bytes, bytes]:
    """One frontend message: kind and payload."""
    head = _read_exactly(connection, 5)
    return head[:1], _read_exactly(connection, struct.unpack("!I", head[1:])[0] - 4)
