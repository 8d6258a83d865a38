"""Temporary directories that are removed even when their owner was killed.

Each session makes one directory `pgbalancer-test.*` below $TMPDIR, or else in memory (/dev/shm; a fresh database costs 20 ms
there and up to 300 ms on a busy disk) or in /tmp. All are short, since paths of Unix-domain sockets are limited, and can be
entered by the account PostgreSQL runs as. A file in it names the owner by pid and start time; reap_abandoned() removes
those whose owner is gone.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from . import processes

_PREFIX = "pgbalancer-test."
_OWNER_FILE = "owner"


# What the system tests and PostgreSQL's own suites take at most, and some.
_ENOUGH_BYTES = 4 << 30


def _base() -> Path:
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ENOUGH_BYTES:
        return memory
    return Path(tempfile.gettempdir())


def _owner_is_alive(directory: Path) -> bool:
    try:
        pid, started = (directory / _OWNER_FILE).read_text().split()
        return processes.start_time(int(pid)) == int(started)
    except FileNotFoundError:
        return True  # being made this moment, or not ours
    except ValueError:
        return True


def reap_abandoned() -> list[Path]:
    """Removes what killed sessions of this account left behind. The servers in there died with their session."""
    removed = []
    places = {_base(), Path(tempfile.gettempdir())}
    for directory in (found for place in places for found in place.glob(_PREFIX + "*")):
        try:
            if directory.stat().st_uid == os.geteuid() and not _owner_is_alive(directory):
                shutil.rmtree(directory, ignore_errors=True)
                removed.append(directory)
        except FileNotFoundError:
            pass
    return removed


class SessionDirectory:
    """The directory of this session; `make(name)` gives a fresh one inside. Removed by remove() or at exit."""

    def __init__(self):
        reap_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_base()))
        (self.path / _OWNER_FILE).write_text(f"{os.getpid()} {processes.start_time(os.getpid())}")
        self.path.chmod(0o755)
        self._owner = os.getpid()
        self._count = 0
        atexit.register(self.remove)

    def make(self, name: str, *, for_server: bool = False) -> Path:
        self._count += 1
        path = self.path / f"{name}{self._count}"
        path.mkdir(mode=0o755)
        path.chmod(0o755)
        if for_server:
            processes.give_to_server_user(path)
        return path

    def remove(self) -> None:
        if os.getpid() == self._owner:
            shutil.rmtree(self.path, ignore_errors=True)
