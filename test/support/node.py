"""Runs JavaScript against npm's `pg`, installed once under build/node."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from .paths import BUILD

_DIRECTORY = BUILD / "node"
_PACKAGE = "pg@8"


def available() -> bool:
    return shutil.which("node") is not None and shutil.which("npm") is not None


def _install() -> None:
    _DIRECTORY.mkdir(parents=True, exist_ok=True)
    with open(_DIRECTORY / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (_DIRECTORY / "node_modules" / "pg").is_dir():
            return
        subprocess.run(
            ["npm", "install", "--prefix", str(_DIRECTORY), "--no-audit", "--no-fund", "--loglevel=error", _PACKAGE],
            check=True, timeout=120,
        )  # fmt: skip


def run(script: Path, target, dbname: str, *arguments: str, timeout: float = 60) -> str:
    """Runs the script with PGHOST, PGPORT, PGUSER, PGDATABASE set; its output. It fails by a non-zero exit."""
    _install()
    environment = os.environ | {
        "NODE_PATH": str(_DIRECTORY / "node_modules"),
        "PGHOST": target.host,
        "PGPORT": str(target.port),
        "PGUSER": "app",
        "PGDATABASE": dbname,
    }
    done = subprocess.run(
        ["node", str(script), *arguments], capture_output=True, text=True, timeout=timeout, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
