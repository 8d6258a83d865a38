"""A client that sends exactly the bytes it is told to, cut where it is told to, and shows exactly what came back."""

import socket
import struct
import time

from . import backend, frontend
from .backend import Message


class ConnectionClosed(Exception):
    """The server closed the connection. `messages` is what had come in the call that noticed."""

    def __init__(self, messages: list[Message]):
        super().__init__(f"connection closed after {messages}")
        self.messages = messages


class RawClient:
    """One connection. Every wait ends after `timeout` seconds with TimeoutError."""

    def __init__(self, target, timeout: float = 10, receive_buffer: int | None = None):
        """`target` has host and port, or is a path of a Unix-domain socket."""
        self.timeout = timeout
        self.key: tuple[int, bytes] | None = None
        self.parameters: dict[str, str] = {}
        self._buffer = bytearray()
        if isinstance(target, str):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            address = target
        else:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            address = (target.host, target.port)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(address)
            if self.socket.family == socket.AF_INET:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Sending

    def send(self, *parts: bytes) -> None:
        self.socket.settimeout(self.timeout)
        self.socket.sendall(b"".join(parts))

    def send_split(self, data: bytes, cuts, pause: float = 0.002) -> None:
        """Sends `data` in pieces that end at the offsets in `cuts`, far enough apart to arrive one by one."""
        edges = [0, *sorted(set(cuts) & set(range(1, len(data)))), len(data)]
        for begin, end in zip(edges, edges[1:]):
            self.send(data[begin:end])
            time.sleep(pause)

    # Receiving

    def receive(self) -> Message:
        """The next message; ConnectionClosed at end of file."""
        end = time.monotonic() + self.timeout
        while True:
            message = backend.take(self._buffer)
            if message is not None:
                if message.kind == b"S":
                    name, value = message.parameter
                    self.parameters[name] = value
                elif message.kind == b"K":
                    self.key = struct.unpack_from("!i", message.payload)[0], message.payload[4:]
                return message
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no message within {self.timeout} s; {bytes(self._buffer[:80])!r} so far")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 18)
            except ConnectionResetError:
                data = b""
            if not data:
                raise ConnectionClosed([])
            self._buffer += data

    def receive_until(self, *kinds: bytes) -> list[Message]:
        """All messages up to and with the first of one of these kinds."""
        messages = []
        try:
            while not messages or messages[-1].kind not in kinds:
                messages.append(self.receive())
        except ConnectionClosed:
            raise ConnectionClosed(messages) from None
        except TimeoutError as error:
            raise TimeoutError(f"{error} after {messages}") from None
        return messages

    def receive_ready(self) -> list[Message]:
        return self.receive_until(b"Z")

    def drain_ready(self) -> int:
        """Reads up to ReadyForQuery without keeping anything; how many bytes of rows or COPY data came. No error may come."""
        total = 0
        scratch = memoryview(bytearray(1 << 18))
        self.socket.settimeout(self.timeout)
        while True:
            header = self._take_exactly(5)
            left = int.from_bytes(header[1:], "big") - 4
            if header[:1] in b"Dd":
                total += left
                buffered = min(left, len(self._buffer))
                del self._buffer[:buffered]
                left -= buffered
                while left > 0:
                    count = self.socket.recv_into(scratch, min(left, len(scratch)))
                    if count == 0:
                        raise ConnectionClosed([])
                    left -= count
                continue
            message = Message(header[:1], self._take_exactly(left))
            assert message.kind != b"E", message
            if message.kind == b"Z":
                return total

    def _take_exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self.socket.recv(max(count - len(self._buffer), 1 << 16))
            if not data:
                raise ConnectionClosed([])
            self._buffer += data
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def receive_to_end(self) -> list[Message]:
        """Everything until the server closes."""
        messages = []
        try:
            while True:
                messages.append(self.receive())
        except ConnectionClosed:
            return messages

    def is_silent(self, seconds: float) -> bool:
        """Whether neither a byte nor the end of the connection comes in that time."""
        if self._buffer:
            return False
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
            return False
        except TimeoutError:
            return True

    # Conversations

    def start(self, dbname="postgres", user="app", password: str | None = None, **parameters) -> list[Message]:
        """Logs in (trust, or a clear-text password); the messages up to ReadyForQuery, or to the error."""
        self.send(frontend.startup({"user": user, "database": dbname} | parameters))
        messages = self.receive_until(b"Z", b"E", b"R")
        while messages[-1].kind == b"R":
            (request,) = struct.unpack_from("!i", messages[-1].payload)
            if request == 3 and password is not None:
                self.send(frontend.password(password))
            elif request != 0:
                raise ValueError(f"cannot answer authentication request {request}")
            messages += self.receive_until(b"Z", b"E", b"R")
        return messages

    def ask(self, *parts: bytes) -> list[Message]:
        """Sends and returns the messages up to ReadyForQuery."""
        self.send(*parts)
        return self.receive_ready()

    def query(self, sql: str) -> list[Message]:
        return self.ask(frontend.query(sql))

    def rows(self, sql: str) -> list[list[bytes | None]]:
        """The rows of a simple query, which must not fail."""
        messages = self.query(sql)
        errors = [m for m in messages if m.kind == b"E"]
        assert not errors, errors
        return [m.values for m in messages if m.kind == b"D"]

    def value(self, sql: str) -> str | None:
        """The only value of the only row, as text."""
        value = self.rows(sql)[0][0]
        return None if value is None else value.decode()

    # Ends

    def terminate(self) -> None:
        self.send(frontend.terminate())
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Closes so that the other side gets a reset instead of an end of file."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def connected(target, dbname: str = "postgres", user: str = "app", timeout: float = 10, **parameters) -> RawClient:
    """A RawClient that is logged in; login must succeed."""
    client = RawClient(target, timeout)
    try:
        messages = client.start(dbname, user, **parameters)
        assert messages[-1].kind == b"Z", messages
        return client
    except BaseException:
        client.close()
        raise


def cancel(target, key: tuple[int, bytes], timeout: float = 10) -> None:
    """Sends a cancel request and waits until the other side closes."""
    with RawClient(target, timeout) as client:
        client.send(frontend.cancel_request(*key))
        assert client.receive_to_end() == []
