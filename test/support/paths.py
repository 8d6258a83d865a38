"""Where things are: the source tree, what was built, PostgreSQL's programs."""

import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD_DIR", ROOT / "build"))


def pgbalancer_binary() -> Path:
    return Path(os.environ.get("PGBALANCER_BIN", BUILD / "bin" / "pgbalancer"))


@lru_cache
def postgres_bindir() -> Path:
    """The newest installed server's bin directory: $PG_BINDIR, Debian's layout, then PATH."""
    if "PG_BINDIR" in os.environ:
        return Path(os.environ["PG_BINDIR"])
    installed = [p for p in Path("/usr/lib/postgresql").glob("*/bin") if (p / "initdb").exists()]
    if installed:
        return max(installed, key=lambda p: float(p.parent.name))
    initdb = shutil.which("initdb")
    if initdb is None:
        raise FileNotFoundError("no PostgreSQL server found: install postgresql, or set PG_BINDIR")
    return Path(initdb).resolve().parent


def postgres_program(name: str) -> str:
    return str(postgres_bindir() / name)


@lru_cache
def postgres_major() -> int:
    text = subprocess.run([postgres_program("postgres"), "--version"], capture_output=True, text=True, check=True)
    return int(re.search(r" (\d+)", text.stdout).group(1))
