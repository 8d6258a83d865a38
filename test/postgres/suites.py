"""Runs PostgreSQL's test programs against one address and says which tests passed.

Each run has an output directory of its own, which the account the server runs as can write: server and psql exchange
files there.
"""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from support import processes
from support.paths import postgres_bindir

from .source import Source

# PostgreSQL 15 writes "name ... ok  12 ms", 16 and later TAP.
_RESULT = re.compile(
    r"^(?:test)?\s*(?P<old>\S+)\s+\.\.\. (?P<verdict>ok|FAILED|failed \(ignored\))"
    r"|^(?P<tap>ok|not ok)\s+\d+\s+[-+]\s+(?P<new>\S+)"
)


class _StuckTestKiller:
    """Kills a test client that runs for longer than `limit` seconds, so that one hang is one failure and the run goes on.

    After several of them it ends the run: every further test would hang too.
    """

    _PATIENCE = 6

    def __init__(self, driver: int, limit: float):
        self._driver = driver
        self._limit = limit
        self._killed = 0
        self._seen: dict[int, float] = {}
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._ended.wait(1):
            now = time.monotonic()
            # The driver's children are shells or the clients themselves; each serves one test.
            children = processes.children(self._driver)
            self._seen = {pid: self._seen.get(pid, now) for pid in children}
            stuck = [pid for pid, since in self._seen.items() if now - since > self._limit]
            self._killed += len(stuck)
            victims = [*stuck, *(child for pid in stuck for child in processes.children(pid))]
            if self._killed > self._PATIENCE:
                victims = [self._driver, *children, *victims]
            for pid in victims:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def end(self) -> None:
        self._ended.set()


def _environment() -> dict:
    """The caller's, without what would change how libpq connects or what programs print."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}


def _drive(argv, output: Path, limit: float) -> dict[str, bool]:
    """Runs pg_regress or its sibling, showing nothing; test name → passed."""
    with open(output / "log", "w+") as log:
        driver = processes.spawn(
            argv, as_server_user=True, stdout=log, stderr=subprocess.STDOUT, cwd=output, env=_environment()
        )
        killer = _StuckTestKiller(driver.pid, limit)
        try:
            driver.wait()
        finally:
            killer.end()
            if driver.poll() is None:
                driver.kill()
        log.seek(0)
        text = log.read()
    results = {}
    for line in text.splitlines():
        found = _RESULT.match(line)
        if found and found["old"]:
            if found["verdict"] != "failed (ignored)":
                results[found["old"]] = found["verdict"] == "ok"
        elif found:
            results[found["new"]] = found["tap"] == "ok"
    if not results:
        raise RuntimeError(f"no test ran: {' '.join(str(a) for a in argv)}\n{text}")
    return results


def stage(source: Source, directory: Path) -> Path:
    """Copies the tests' input to where the server's account can read it: `regress` and `isolation` in `directory`."""
    shutil.copytree(source.regress, directory / "regress")
    shutil.copytree(source.isolation, directory / "isolation")
    shutil.copy(source.built / "regress.so", directory / "regress.so")
    for library in ("autoinc.so", "refint.so"):  # of contrib/spi; the trigger tests load them from here
        if (source.library_directory / library).exists():
            shutil.copy(source.library_directory / library, directory / library)
    return directory


def regress(source: Source, staged: Path, output: Path, host: str, port: int, *, schedule: Path | None, tests=(),
            use_existing: bool = False, limit: float = 300) -> dict[str, bool]:  # fmt: skip
    (output / "sql").mkdir(exist_ok=True)
    argv = [source.pgxs_tests / "regress/pg_regress", f"--inputdir={staged / 'regress'}", f"--outputdir={output}"]
    argv += [f"--dlpath={staged}", f"--bindir={postgres_bindir()}", "--max-concurrent-tests=20"]
    argv += [f"--host={host}", f"--port={port}", "--user=postgres"]
    argv += [f"--schedule={schedule}"] if schedule else []
    argv += ["--use-existing", "--dbname=regression"] if use_existing else []
    return _drive([*argv, *tests], output, limit)


def isolation(source: Source, staged: Path, output: Path, host: str, port: int, *, tests=(), use_existing: bool = False,
              limit: float = 300) -> dict[str, bool]:  # fmt: skip
    argv = [source.pgxs_tests / "isolation/pg_isolation_regress", f"--inputdir={staged / 'isolation'}"]
    argv += [f"--outputdir={output}", f"--dlpath={staged}", f"--bindir={postgres_bindir()}"]
    argv += [f"--host={host}", f"--port={port}", "--user=postgres", "--dbname=isolation_regression"]
    argv += ["--use-existing"] if use_existing else []
    argv += list(tests) or [f"--schedule={staged / 'isolation/isolation_schedule'}"]
    return _drive(argv, output, limit)


def pipeline(source: Source, output: Path, host: str, port: int, *, tests=(), limit: float = 60) -> dict[str, bool]:
    """Each test of libpq_pipeline with a trace of its messages, which must be the one PostgreSQL's authors expect."""
    program = source.built / "libpq_pipeline"
    names = subprocess.run([program, "tests"], capture_output=True, text=True, check=True).stdout.split()
    results = {}
    for name in names if not tests else [n for n in names if n in tests]:
        trace = output / f"{name}.trace"
        try:
            done = subprocess.run(
                [program, "-r", "700", "-t", trace, name, f"host={host} port={port} user=postgres dbname=postgres"],
                capture_output=True, text=True, timeout=limit, env=_environment(),
            )  # fmt: skip
            passed, said = done.returncode == 0, done.stdout + done.stderr
        except subprocess.TimeoutExpired as error:
            passed, said = False, f"hangs\n{error.stdout}{error.stderr}"
        expected = source.pipeline_traces / f"{name}.trace"
        if passed and expected.exists() and trace.read_text() != expected.read_text():
            passed, said = False, "its messages differ from the expected trace\n" + said
        (output / f"{name}.log").write_text(said)
        results[f"pipeline/{name}"] = passed
    return results
