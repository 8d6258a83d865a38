"""Backend messages: framed, named and readable, and comparable between two servers."""

import struct
from typing import NamedTuple

NAMES = {
    b"R": "Authentication",
    b"K": "BackendKeyData",
    b"2": "BindComplete",
    b"3": "CloseComplete",
    b"C": "CommandComplete",
    b"d": "CopyData",
    b"c": "CopyDone",
    b"G": "CopyInResponse",
    b"H": "CopyOutResponse",
    b"W": "CopyBothResponse",
    b"D": "DataRow",
    b"I": "EmptyQueryResponse",
    b"E": "ErrorResponse",
    b"V": "FunctionCallResponse",
    b"v": "NegotiateProtocolVersion",
    b"n": "NoData",
    b"N": "NoticeResponse",
    b"A": "NotificationResponse",
    b"t": "ParameterDescription",
    b"S": "ParameterStatus",
    b"1": "ParseComplete",
    b"s": "PortalSuspended",
    b"Z": "ReadyForQuery",
    b"T": "RowDescription",
}

# Of an error's fields, those that a proxy must not change; file, line and routine are the server's own affair.
_COMPARED_FIELDS = "VCMDHPqWcdtn"


class Message(NamedTuple):
    kind: bytes
    payload: bytes

    @property
    def name(self) -> str:
        return NAMES.get(self.kind, f"Unknown({self.kind!r})")

    @property
    def raw(self) -> bytes:
        return self.kind + struct.pack("!I", len(self.payload) + 4) + self.payload

    # Fields; each is meaningful for one kind of message only.

    @property
    def fields(self) -> dict[str, str]:
        """Of ErrorResponse and NoticeResponse, by their one-letter codes."""
        parts = self.payload.split(b"\0")
        return {part[:1].decode(): part[1:].decode(errors="replace") for part in parts if part}

    @property
    def sqlstate(self) -> str:
        return self.fields["C"]

    @property
    def status(self) -> str:
        """Of ReadyForQuery: I, T or E."""
        return self.payload.decode()

    @property
    def tag(self) -> str:
        """Of CommandComplete."""
        return self.payload.rstrip(b"\0").decode()

    @property
    def values(self) -> list[bytes | None]:
        """Of DataRow."""
        (count,) = struct.unpack_from("!h", self.payload)
        offset, values = 2, []
        for _ in range(count):
            (length,) = struct.unpack_from("!i", self.payload, offset)
            offset += 4
            values.append(None if length < 0 else self.payload[offset : offset + length])
            offset += max(length, 0)
        return values

    @property
    def parameter(self) -> tuple[str, str]:
        """Of ParameterStatus."""
        name, value = self.payload.split(b"\0")[:2]
        return name.decode(), value.decode()

    @property
    def columns(self) -> list[tuple[str, int, int]]:
        """Of RowDescription: name, type and format. Table oids differ between databases and are left out."""
        (count,) = struct.unpack_from("!h", self.payload)
        offset, columns = 2, []
        for _ in range(count):
            end = self.payload.index(b"\0", offset)
            _, _, type_oid, _, _, form = struct.unpack_from("!IhIhih", self.payload, end + 1)
            columns.append((self.payload[offset:end].decode(), type_oid, form))
            offset = end + 19
        return columns

    @property
    def comparable(self) -> tuple:
        """What must be the same whether it came through pgbalancer or straight from PostgreSQL."""
        if self.kind in b"EN":
            fields = self.fields
            return self.name, {code: fields[code] for code in _COMPARED_FIELDS if code in fields}
        if self.kind == b"T":
            return self.name, self.columns
        if self.kind == b"D":
            return self.name, self.values
        if self.kind == b"S":
            return self.name, self.parameter
        if self.kind == b"A":  # pid of the notifying server process
            return self.name, self.payload[4:]
        if self.kind == b"K":
            return (self.name,)
        return self.name, self.payload

    def __repr__(self) -> str:
        shown = self.comparable[1:]
        text = repr(shown[0]) if shown else ""
        return f"{self.name}({text if len(text) < 200 else text[:200] + '…'})"


def take(buffer: bytearray) -> Message | None:
    """Removes one whole message from the front of `buffer`; None when there is none yet."""
    if len(buffer) < 5:
        return None
    (length,) = struct.unpack_from("!I", buffer, 1)
    if length < 4:
        raise ValueError(f"message {bytes(buffer[:1])!r} of impossible length {length}")
    if len(buffer) < length + 1:
        return None
    message = Message(bytes(buffer[:1]), bytes(buffer[5 : length + 1]))
    del buffer[: length + 1]
    return message
