#!/usr/bin/python3
"""make bench: pgbalancer beside its peers and the floor, in one run on one machine. Prints Markdown.

    test/bench/run.py [--quick] [--rounds N] [--cells PATTERN,…] [--proxies NAME,…] [--json FILE] [--update-doc]
    test/bench/run.py --from-json FILE      prints (or puts into the document) a run recorded before

A full run takes about half an hour and means something only on a machine that does nothing else. What is measured and
how to read it is in doc/BENCHMARKS.md. The server and everything started end with this process, also when it is
killed.
"""

import argparse
import fnmatch
import json
import os
import platform
import re
import resource
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import idle  # noqa: E402
import report  # noqa: E402
import skew  # noqa: E402
from proxies import CONTESTANTS, PgBalancer, PgBouncer, Proxy, Setup, Unavailable  # noqa: E402
from stage import stage  # noqa: E402
from support.paths import ROOT  # noqa: E402
from throughput import CELLS, CLIENTS, Cell, Sample, Tournament  # noqa: E402

IDLE_CELLS = ["idle-plain", "idle-state"]
SKEW_CELL = "skew"
ALL_CELLS = [cell.name for cell in CELLS] + IDLE_CELLS + [SKEW_CELL]
DOCUMENT = ROOT / "doc" / "BENCHMARKS.md"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Benchmark of pgbalancer beside its peers.")
    parser.add_argument("--rounds", type=int, default=7, help="samples per cell and contestant (default 7)")
    parser.add_argument("--seconds", type=int, default=5, help="length of one sample (default 5)")
    parser.add_argument("--scale", type=int, default=10, help="of pgbench's tables (default 10)")
    parser.add_argument("--jobs", type=int, default=1, help="threads of pgbench (default 1)")
    parser.add_argument("--workers", type=int, default=2, help="of pgbalancer, copies of floor (default 2)")
    parser.add_argument("--transport", choices=["tcp", "unix"], default="tcp", help="to the server (default tcp)")
    parser.add_argument("--cells", default="*", help=f"comma-separated patterns of: {', '.join(ALL_CELLS)}")
    names = [kind.name for kind in CONTESTANTS]
    parser.add_argument("--proxies", default="*", help=f"comma-separated patterns of: {', '.join(names)}")
    parser.add_argument("--idle-clients", default="2000,10000", help="the two numbers the memory slope is between")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 1 s, 200 to 1000 idle clients: a try-out")
    parser.add_argument("--json", type=Path, help="write everything recorded to this file")
    parser.add_argument("--from-json", type=Path, help="measure nothing, report a recorded run")
    parser.add_argument("--update-doc", action="store_true", help=f"put the report into doc/{DOCUMENT.name}")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds, chosen.scale, chosen.idle_clients = 3, 1, 1, "200,1000"
    chosen.cells = matching(chosen.cells, ALL_CELLS, parser)
    chosen.proxies = matching(chosen.proxies, names, parser)
    chosen.idle_clients = [int(n) for n in chosen.idle_clients.split(",")]
    if chosen.workers < 2:
        parser.error(f"{max(CLIENTS)} clients need the server connections of two workers")
    if len(chosen.idle_clients) != 2 or not 0 < chosen.idle_clients[0] < chosen.idle_clients[1]:
        parser.error("--idle-clients wants two ascending numbers")
    return chosen


def matching(patterns: str, names: list[str], parser: argparse.ArgumentParser) -> list[str]:
    for pattern in patterns.split(","):
        if not fnmatch.filter(names, pattern):
            parser.error(f"nothing matches {pattern!r}; there are {', '.join(names)}")
    return [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns.split(","))]


def raise_descriptor_limit(needed: int) -> None:
    """Children inherit it. A process that may raises the hard limit too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    if hard < needed and os.geteuid() == 0:
        hard = needed
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    if hard < needed:
        raise SystemExit(f"{needed} descriptors are needed and {hard} allowed: raise the limit or lower --idle-clients")


def machine() -> dict:
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory_kib = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1))
    return {
        "processor": processor.group(1) if processor else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_kib / 2**20),
        "kernel": ".".join(platform.release().split(".")[:2]),
    }


def start_contestants(setup: Setup, names: list[str], unavailable: dict[str, str]) -> list[Proxy]:
    started = []
    for kind in CONTESTANTS:
        if kind.name in names:
            try:
                started.append(kind(setup))
            except Unavailable as reason:
                say(f"{kind.name}: {reason}")
                unavailable[kind.name] = str(reason)
    return started


def show_progress(sample: Sample) -> None:
    cpu = f"{sample.cpu_us:6.2f} µs" if sample.cpu_us is not None else "         "
    figures = sample.error or f"{sample.tps:8.0f} tps {cpu}  others {sample.foreign:.0%}"
    say(f"round {sample.round:2} {sample.cell:20} {sample.proxy:11} {figures}")


def run_tournament(setup: Setup, chosen: argparse.Namespace, cells: list[Cell], record: dict) -> None:
    proxies = start_contestants(setup, chosen.proxies, record["unavailable"])
    try:
        record["proxies"] = {proxy.name: proxy.version() for proxy in proxies}
        tournament = Tournament(setup, proxies, cells, chosen.seconds, chosen.jobs)
        try:
            record["notes"] = {c.name: {p.name: p.note(c.protocol) for p in tournament.contestants(c)} for c in cells}
            say("warming up")
            tournament.warm_up()
            tournament.play(chosen.rounds, show_progress)
        finally:
            record["samples"] = [asdict(sample) for sample in tournament.samples]
            tournament.stop()
    finally:
        for proxy in proxies:
            proxy.stop()


def run_idle(setup: Setup, chosen: argparse.Namespace, record: dict) -> None:
    for kind in (PgBouncer, PgBalancer):
        for cell in IDLE_CELLS:
            if cell not in chosen.cells or kind.name not in chosen.proxies or kind.name in record["unavailable"]:
                continue
            say(f"{cell} {kind.name}")
            state = cell == "idle-state"
            try:
                found = idle.measure(setup, kind, state, *chosen.idle_clients)
            except Unavailable as reason:
                record["unavailable"][kind.name] = str(reason)
                continue
            except Exception as error:  # one contestant's failure is a finding, not the end of the run
                found = {"proxy": kind.name, "state": state, "error": str(error).splitlines()[0]}
            say(f"{cell} {kind.name}: {found.get('error') or found['bytes_per_client']}")
            record["idle"].append(found)


def run_skew(setup: Setup, chosen: argparse.Namespace, record: dict) -> None:
    if SKEW_CELL not in chosen.cells or "pgbalancer" not in chosen.proxies or "pgbalancer" in record["unavailable"]:
        return
    say(SKEW_CELL)
    try:
        record["skew"] = skew.measure(setup, float(chosen.seconds))
    except Unavailable as reason:
        record["unavailable"]["pgbalancer"] = str(reason)
    except Exception as error:
        record["skew"] = {"error": str(error).splitlines()[0]}


def measure(chosen: argparse.Namespace) -> dict:
    raise_descriptor_limit(chosen.idle_clients[1] + 2000)
    record = {
        "command": shlex.join(["test/bench/run.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "options": {k: v for k, v in vars(chosen).items() if k not in ("json", "from_json", "update_doc")},
        "proxies": {},
        "unavailable": {},
        "notes": {},
        "pool_cells": [cell.name for cell in CELLS if cell.pool],
        "samples": [],
        "idle": [],
        "skew": None,
    }
    try:
        with stage(chosen.workers, chosen.transport, chosen.scale) as setup:
            record["machine"]["postgres"] = setup.cluster.primary.scalar("SHOW server_version").split()[0]
            cells = [cell for cell in CELLS if cell.name in chosen.cells]
            if cells:
                run_tournament(setup, chosen, cells, record)
            run_idle(setup, chosen, record)
            run_skew(setup, chosen, record)
    except KeyboardInterrupt:
        say("interrupted: reporting what there is")
    return record


def put_into_document(section: str, text: str) -> None:
    """Replaces what stands between the document's markers of this section."""
    begin, end = f"<!-- begin {section} -->\n", f"<!-- end {section} -->"
    document = DOCUMENT.read_text()
    if begin not in document or end not in document:
        raise SystemExit(f"no markers of {section} in {DOCUMENT.name}")
    before, rest = document.split(begin, 1)
    DOCUMENT.write_text(before + begin + "\n" + text + "\n" + end + rest.split(end, 1)[1])


def main() -> None:
    chosen = arguments()
    record = json.loads(chosen.from_json.read_text()) if chosen.from_json else measure(chosen)
    if chosen.json:
        chosen.json.write_text(json.dumps(record, indent=1) + "\n")
    text = report.markdown(record)
    print(text)
    if chosen.update_doc:
        put_into_document(f"make bench, {record['options']['transport']}", text)


if __name__ == "__main__":
    main()
