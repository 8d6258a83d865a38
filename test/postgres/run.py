#!/usr/bin/python3
"""PostgreSQL's own tests, directly and through pgbalancer: whoever passes directly must pass through it.

pg_regress with its parallel schedule and libpq_pipeline run in both pool modes, the isolation specs in session mode.
The mode `routing` is transaction mode before a primary and two standbys, where a test may read what another session
has written (read_your_writes = global).
Every run has a fresh cluster, since the tests change roles and tablespaces. Exit code 0 when nothing passes directly
and fails through pgbalancer, except what known_differences lists; a test that fails directly must fail with the same
output. Outputs are under build/postgres/MODE.SUITE/: regression.diffs, results; and beside it the log of pgbalancer.

To look at one failure, keep a set-up and use it again:
    test/postgres/run.py --keep --mode transaction --suite regress --test test_setup --test guc
    test/postgres/run.py --through 127.0.0.1:PORT --suite regress --test guc
"""

import argparse
import filecmp
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from postgres import source, suites  # noqa: E402
from support.balancer import PgBalancer  # noqa: E402
from support.paths import BUILD  # noqa: E402
from support.postgres import HOST, PostgresCluster  # noqa: E402
from support.tempdirs import SessionDirectory  # noqa: E402

_HERE = Path(__file__).resolve().parent
_OUTPUT = BUILD / "postgres"
_SUITES = ("regress", "pipeline", "isolation")
_MODES = ("session", "transaction", "routing")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="the selection for `make check`: quick_schedule, no isolation specs")
    add("--mode", action="append", choices=_MODES, help="pool mode(s), or routing; default all")
    add("--suite", action="append", choices=_SUITES, help="default all")
    add("--test", action="append", default=[], help="run these tests only, in this order, one at a time")
    add("--through", metavar="HOST:PORT", help="use a running set-up (its databases stay), compare nothing")
    add("--keep", action="store_true", help="leave PostgreSQL and pgbalancer running afterwards, until Ctrl-C")
    return parser.parse_args()


class Runner:
    def __init__(self, options: argparse.Namespace):
        self._options = options
        self._source = source.prepare()
        self._session = SessionDirectory()
        self._staged = suites.stage(self._source, self._session.make("input", for_server=True))

    def run(self, label: str, suite: str, host: str, port: int) -> dict[str, bool]:
        """One suite at one address; outputs are kept under build/postgres/LABEL.SUITE."""
        output = self._session.make("output", for_server=True)
        began = time.monotonic()
        print(f"{label}: {suite} …", flush=True)
        options = self._options
        arguments = {"tests": options.test}
        if suite == "regress":
            schedule = _HERE / "quick_schedule" if options.quick else self._staged / "regress/parallel_schedule"
            if options.quick:
                schedule = Path(shutil.copy(schedule, output / "schedule"))
            arguments |= {"schedule": None if options.test else schedule, "use_existing": bool(options.through)}
            arguments |= {"limit": 60 if options.quick else 120}
            results = suites.regress(self._source, self._staged, output, host, port, **arguments)
        elif suite == "isolation":
            arguments |= {"use_existing": bool(options.through)}
            results = suites.isolation(self._source, self._staged, output, host, port, **arguments)
        else:
            results = suites.pipeline(self._source, output, host, port, **arguments)
        passed = sum(results.values())
        print(f"{label}: {suite}: {passed} of {len(results)} passed in {time.monotonic() - began:.0f} s", flush=True)
        kept = _OUTPUT / f"{label}.{suite}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(output, kept)
        # The driver's results carry bare names; the suite makes them unique.
        return {name if "/" in name else f"{suite}/{name}": ok for name, ok in results.items()}

    @contextmanager
    def cluster(self, standbys: int = 0):
        settings = {"wal_level": "replica", "hot_standby_feedback": "off", "max_prepared_transactions": "2"}
        cluster = PostgresCluster(self._session, standbys=standbys, locale="C", **settings)
        try:
            yield cluster
        finally:
            cluster.stop()

    @contextmanager
    def balancer(self, cluster: PostgresCluster, mode: str, label: str):
        routing = {"read_your_writes": "global", "backend_weight0": 0, "sr_check_period": "50ms"}
        settings = {"pool_mode": mode} if mode != "routing" else {"pool_mode": "transaction"} | routing
        balancer = PgBalancer(self._session, cluster, max_pool=40, query_wait_timeout="60s", **settings)
        try:
            yield balancer
        finally:
            if self._options.keep:
                print(f"pgbalancer ({mode}): {HOST}:{balancer.port}, PostgreSQL: {HOST}:{cluster.primary.port}; Ctrl-C ends")
                try:
                    signal.pause()
                except KeyboardInterrupt:
                    pass
            _OUTPUT.mkdir(parents=True, exist_ok=True)
            (_OUTPUT / f"{label}.pgbalancer.log").write_text(balancer.log_text())
            balancer.stop()


def _suites_of(options: argparse.Namespace, mode: str | None) -> list[str]:
    chosen = [suite for suite in _SUITES if not options.suite or suite in options.suite]
    if "isolation" in chosen and (options.quick or mode != "session"):
        chosen.remove("isolation")  # the tester asks for the locks of its server processes by pid
    return chosen


def _known_differences() -> set[tuple[str, str]]:
    lines = (_HERE / "known_differences").read_text().splitlines()
    return {tuple(line.split(maxsplit=2)[:2]) for line in lines if line.strip() and not line.startswith("#")}


def _run_through_existing(runner: Runner, options: argparse.Namespace) -> bool:
    host, port = options.through.rsplit(":", 1)
    good = True
    for suite in _suites_of(options, (options.mode or ["session"])[0]):
        results = runner.run("through", suite, host, int(port))
        for name in sorted(name for name, ok in results.items() if not ok):
            good = False
            print(f"  fails: {name}   see {_OUTPUT / ('through.' + suite)}")
    return good


def _same_output(name: str, mode: str) -> bool:
    """Whether a regress test printed through pgbalancer exactly what it printed directly."""
    suite, test = name.split("/")
    files = [_OUTPUT / f"{label}.{suite}" / "results" / f"{test}.out" for label in ("direct", mode)]
    return all(file.exists() for file in files) and filecmp.cmp(*files, shallow=False)


def _differences(direct: dict[str, bool], through: dict[str, bool], mode: str) -> list[tuple[str, str]]:
    """(test, what is wrong) of each that is worse through pgbalancer than directly.

    A test that fails directly too (the source may be a little older than the server) must fail with the same output.
    """
    differences = []
    for name, passes_directly in sorted(direct.items()):
        if passes_directly and not through.get(name, False):
            differences.append((name, "fails" if name in through else "did not run"))
        elif name.startswith("regress/") and not passes_directly and not _same_output(name, mode):
            differences.append((name, "fails differently"))
    return differences


def _compare(runner: Runner, options: argparse.Namespace) -> bool:
    modes = options.mode or list(_MODES)
    wanted = [suite for suite in _SUITES if any(suite in _suites_of(options, mode) for mode in modes)]
    direct = {}
    with runner.cluster() as cluster:
        for suite in wanted:
            direct |= runner.run("direct", suite, HOST, cluster.primary.port)
    found = []
    for mode in modes:
        through = {}
        chosen = _suites_of(options, mode)
        standbys = 2 if mode == "routing" else 0
        with runner.cluster(standbys) as cluster, runner.balancer(cluster, mode, mode) as balancer:
            for suite in chosen:
                through |= runner.run(mode, suite, HOST, balancer.port)
        of_these = {name: ok for name, ok in direct.items() if name.split("/")[0] in chosen}
        found += [(mode, *difference) for difference in _differences(of_these, through, mode)]
    failing = sorted(name for name, ok in direct.items() if not ok)
    print(f"\n{len(direct) - len(failing)} of {len(direct)} tests pass directly; not: {', '.join(failing) or 'none'}")
    known = _known_differences()
    if found:
        print(f"\n{'mode':12} {'test':40} {'through pgbalancer':20} documented")
        for mode, name, problem in found:
            print(f"{mode:12} {name:40} {problem:20} {'yes' if (mode, name) in known else 'NO'}")
        print(f"\nOutputs: {_OUTPUT}")
    unexpected = [difference for difference in found if difference[:2] not in known]
    print(f"\nFAILED: {len(unexpected)} differences that are not documented" if unexpected else "\nPASSED")
    return not unexpected


def main() -> int:
    options = _options()
    runner = Runner(options)
    good = _run_through_existing(runner, options) if options.through else _compare(runner, options)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
