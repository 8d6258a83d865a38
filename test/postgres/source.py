"""PostgreSQL's own tests, from the distribution's source package of the installed major version.

Nothing of it is committed: it is fetched with apt into build/postgres-src, unpacked and compiled there. The package
lists are private ones, made from this machine's apt sources with the source packages enabled; the machine's own stay as
they are.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.paths import BUILD, postgres_bindir, postgres_major, postgres_program

_DIRECTORY = BUILD / "postgres-src"


@dataclass(frozen=True)
class Source:
    tree: Path  # the unpacked source
    built: Path  # regress.so and libpq_pipeline
    pgxs_tests: Path  # src/test of the server's development package: pg_regress, the isolation tester
    library_directory: Path  # the installed server's loadable modules

    @property
    def regress(self) -> Path:
        return self.tree / "src/test/regress"

    @property
    def isolation(self) -> Path:
        return self.tree / "src/test/isolation"

    @property
    def pipeline_traces(self) -> Path:
        return self.tree / "src/test/modules/libpq_pipeline/traces"


def _run(argv, **arguments) -> str:
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **arguments)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(str(a) for a in argv)}\n{done.stdout}{done.stderr}")
    return done.stdout


def _write_source_lists(parts: Path) -> None:
    """This machine's apt sources with deb-src in place of deb, in both of apt's formats."""
    parts.mkdir(parents=True, exist_ok=True)
    etc = Path("/etc/apt")
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text()
        if path.suffix == ".list":
            lines = [re.sub(r"^\s*deb(?=\s)", "deb-src", line) for line in text.splitlines()]
            text = "\n".join(dict.fromkeys(line for line in lines if line.startswith("deb-src")))
        elif path.suffix == ".sources":
            text = re.sub(r"^Types:.*$", "Types: deb-src", text, flags=re.MULTILINE)
        else:
            continue
        (parts / path.name).write_text(text + "\n")


def _fetch(directory: Path) -> Path:
    """Downloads the source package; the .dsc. The newest version may be listed but gone: then the next older one."""
    found = sorted(directory.glob("*.dsc"))
    if found:
        return found[-1]
    apt = directory / "apt"
    _write_source_lists(apt / "parts")
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    options = ["-q"]
    for name, value in {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": apt / "parts",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "",  # apt's own user may not be able to enter this directory
    }.items():
        options += ["-o", f"{name}={value}"]
    package = f"postgresql-{postgres_major()}"
    _run(["apt-get", *options, "update"])
    shown = _run(["apt-cache", *options, "showsrc", "--only-source", package])
    versions = re.findall(r"^Version: (\S+)$", shown, re.MULTILINE)
    order = {version: [int(part) for part in re.findall(r"\d+", version)] for version in versions}
    problem = RuntimeError(f"apt knows no source package {package}")
    for version in sorted(order, key=order.get, reverse=True):
        try:
            _run(["apt-get", *options, "source", "--download-only", f"{package}={version}"], cwd=directory)
            return next(directory.glob("*.dsc"))
        except RuntimeError as error:
            problem = error
    raise problem


def _unpack(directory: Path, dsc: Path) -> Path:
    tree = directory / "tree"
    if not tree.exists():
        unfinished = directory / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        _run(["dpkg-source", "--no-check", "-x", dsc.name, unfinished.name], cwd=directory)
        unfinished.rename(tree)
    return tree


def _compile(tree: Path, built: Path) -> None:
    built.mkdir(exist_ok=True)
    config = {
        name: _run([postgres_program("pg_config"), f"--{name}"]).strip()
        for name in ("includedir", "includedir-server", "libdir", "pkglibdir")
    }
    compiler = [os.environ.get("CC", "gcc"), "-O2", f"-I{config['includedir-server']}", f"-I{config['includedir']}"]
    library = built / "regress.so"
    if not library.exists():
        _run([*compiler, "-fPIC", "-shared", "-o", library, tree / "src/test/regress/regress.c"])
    program = built / "libpq_pipeline"
    if not program.exists():
        _run(
            [*compiler, "-o", program, tree / "src/test/modules/libpq_pipeline/libpq_pipeline.c",
             f"-L{config['libdir']}", f"-L{config['pkglibdir']}", f"-L{postgres_bindir().parent / 'lib'}",
             "-lpq", "-lpgcommon", "-lpgport"]
        )  # fmt: skip


def prepare() -> Source:
    """Fetches, unpacks and compiles what is not there yet."""
    _DIRECTORY.mkdir(parents=True, exist_ok=True)
    tree = _unpack(_DIRECTORY, _fetch(_DIRECTORY))
    built = _DIRECTORY / "built"
    _compile(tree, built)
    pgxs = Path(_run([postgres_program("pg_config"), "--pgxs"]).strip())
    tests = pgxs.parents[1] / "test"
    for program in ("regress/pg_regress", "isolation/pg_isolation_regress", "isolation/isolationtester"):
        if not (tests / program).exists():
            raise RuntimeError(f"{tests / program} is missing: install postgresql-server-dev-{postgres_major()}")
    return Source(tree, built, tests, Path(_run([postgres_program("pg_config"), "--pkglibdir"]).strip()))
