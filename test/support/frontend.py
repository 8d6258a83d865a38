"""Frontend messages as bytes (PostgreSQL manual, "Message Formats"). Unchecked: tests send nonsense on purpose."""

import struct

SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)


def message(kind: bytes, payload: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(payload) + 4) + payload


def _string(text: str | bytes) -> bytes:
    return (text.encode() if isinstance(text, str) else text) + b"\0"


def startup(parameters: dict[str, str], version: tuple[int, int] = (3, 0)) -> bytes:
    body = struct.pack("!HH", *version) + b"".join(_string(k) + _string(v) for k, v in parameters.items()) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def cancel_request(pid: int, secret: bytes) -> bytes:
    return struct.pack("!IIi", 12 + len(secret), 80877102, pid) + secret


def password(text: str | bytes) -> bytes:
    return message(b"p", _string(text))


def sasl_initial_response(mechanism: str, data: bytes) -> bytes:
    return message(b"p", _string(mechanism) + struct.pack("!i", len(data)) + data)


def sasl_response(data: bytes) -> bytes:
    return message(b"p", data)


def query(sql: str | bytes) -> bytes:
    return message(b"Q", _string(sql))


def parse(name: str, sql: str | bytes, types: list[int] = ()) -> bytes:
    return message(b"P", _string(name) + _string(sql) + struct.pack(f"!h{len(types)}I", len(types), *types))


def bind(portal: str = "", statement: str = "", values: list[bytes | None] = (), formats: list[int] = (),
         result_formats: list[int] = ()) -> bytes:  # fmt: skip
    body = _string(portal) + _string(statement)
    body += struct.pack(f"!h{len(formats)}h", len(formats), *formats)
    body += struct.pack("!h", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    body += struct.pack(f"!h{len(result_formats)}h", len(result_formats), *result_formats)
    return message(b"B", body)


def describe_statement(name: str = "") -> bytes:
    return message(b"D", b"S" + _string(name))


def describe_portal(name: str = "") -> bytes:
    return message(b"D", b"P" + _string(name))


def execute(portal: str = "", max_rows: int = 0) -> bytes:
    return message(b"E", _string(portal) + struct.pack("!i", max_rows))


def close_statement(name: str = "") -> bytes:
    return message(b"C", b"S" + _string(name))


def close_portal(name: str = "") -> bytes:
    return message(b"C", b"P" + _string(name))


def sync() -> bytes:
    return message(b"S")


def flush() -> bytes:
    return message(b"H")


def copy_data(data: bytes) -> bytes:
    return message(b"d", data)


def copy_done() -> bytes:
    return message(b"c")


def copy_fail(reason: str) -> bytes:
    return message(b"f", _string(reason))


def function_call(oid: int, arguments: list[bytes | None], formats: list[int] = (), result_format: int = 0) -> bytes:
    body = struct.pack("!I", oid) + struct.pack(f"!h{len(formats)}h", len(formats), *formats)
    body += struct.pack("!h", len(arguments))
    for value in arguments:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message(b"F", body + struct.pack("!h", result_format))


def terminate() -> bytes:
    return message(b"X")


def extended(sql: str, values: list[bytes | None] = (), statement: str = "", portal: str = "") -> bytes:
    """Parse, Bind, Describe portal, Execute: what a driver sends for one statement, without Sync."""
    return parse(statement, sql) + bind(portal, statement, values) + describe_portal(portal) + execute(portal)
