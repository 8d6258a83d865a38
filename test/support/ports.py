"""Free TCP ports, without races between sessions that run at the same time.

Asking the kernel for a port and closing it again lets another process take it before the server binds it. So a port of a
range below the ephemeral ones is claimed by binding an abstract Unix-domain socket named after it, which the kernel
releases when this process ends, and then tried with bind().
"""

import errno
import random
import socket

_FIRST, _LAST = 20000, 31999
_claims = []


def _can_bind(family: int, address: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, port))
            return True
    except OSError as error:
        # A machine without IPv6 has nobody listening on it either.
        return family == socket.AF_INET6 and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def free_port() -> int:
    """A port nobody listens on and no other session on this machine will be given."""
    while True:
        port = random.randint(_FIRST, _LAST)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0pgbalancer-test-port-{port}")
        except OSError:
            claim.close()
            continue
        if _can_bind(socket.AF_INET, "0.0.0.0", port) and _can_bind(socket.AF_INET6, "::", port):
            _claims.append(claim)
            return port
        claim.close()
