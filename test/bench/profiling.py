#!/usr/bin/python3
"""Where a worker's time goes under pgbench -S, for finding what a missed target is made of.

    test/bench/profiling.py perf        samples of one worker by function, kernel included
    test/bench/profiling.py callgrind   instructions per transaction of one worker by function, user space only
    test/bench/profiling.py syscalls    system calls per transaction of floor and of pgbalancer

pgbalancer runs with one worker for the first two. Counts of system calls are taken under strace, which slows the
proxy down: more clients are ready at each turn of its loop, so epoll_wait is called less often per transaction than
in earnest, recv and send are not affected.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import procfs  # noqa: E402
from crowd import Crowd  # noqa: E402
from proxies import DATABASE, USER, Floor, PgBalancer, Proxy, Setup, Unavailable, find_program  # noqa: E402
from stage import stage  # noqa: E402
from support import processes  # noqa: E402
from support.paths import BUILD, pgbalancer_binary  # noqa: E402
from support.waiting import await_condition  # noqa: E402
from throughput import PROTOCOLS, parse_pgbench, pgbench_argv  # noqa: E402

OUTPUT = BUILD / "bench"


def load(proxy: Proxy, chosen: argparse.Namespace, transactions: int) -> int:
    """Runs about so many transactions; how many it were."""
    argv = pgbench_argv(proxy, chosen.protocol, chosen.clients, ["-t", str(max(1, transactions // chosen.clients))])
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"pgbench failed:\n{done.stderr}")
    return parse_pgbench(done.stdout)[0]


def worker_of(proxy: Proxy) -> int:
    """The process that serves clients, found by asking who holds the connection of one."""
    with Crowd(proxy.port, USER, DATABASE) as crowd:
        crowd.grow(1)
        return procfs.connection_owners(proxy.root_pid, proxy.port)[crowd.clients[0].local_port]


def profile_perf(setup: Setup, chosen: argparse.Namespace) -> None:
    perf = find_program("perf")
    proxy = PgBalancer(setup, workers=1)
    try:
        load(proxy, chosen, chosen.transactions // 10)
        data = OUTPUT / "perf.data"
        record = [perf, "record", "-q", "-F", "1999", "-g", "-p", str(worker_of(proxy)), "-o", data]
        recorder = processes.spawn(record, death_signal=signal.SIGINT)
        load(proxy, chosen, chosen.transactions)
        recorder.send_signal(signal.SIGINT)
        recorder.wait(30)
        report = [perf, "report", "--stdio", "--no-children", "-g", "none", "--percent-limit", "0.5", "-i", str(data)]
        lines = subprocess.run(report, capture_output=True, text=True).stdout.splitlines()
        print("\n".join([line for line in lines if line and not line.startswith("#")][: chosen.top]))
        print(f"\ncall graph: perf report -i {data.relative_to(BUILD.parent)}")
    finally:
        proxy.stop()


def ask_callgrind(pid: int, *command: str) -> None:
    """Has the callgrind that runs a process do something now."""
    done = subprocess.run([find_program("vgdb"), f"--pid={pid}", *command], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise SystemExit(f"callgrind does not answer for process {pid}:\n{done.stdout}{done.stderr}")


def profile_callgrind(setup: Setup, chosen: argparse.Namespace) -> None:
    find_program("valgrind")
    wrapper = setup.session.make("callgrind") / "pgbalancer"
    profiles = wrapper.parent / "callgrind.out"
    name = "measured"
    # A forked process can be asked for something with --trace-children only.
    callgrind = f"valgrind -q --tool=callgrind --trace-children=yes --callgrind-out-file={profiles}.%p"
    wrapper.write_text(f'#!/bin/sh\nexec {callgrind} "{pgbalancer_binary()}" "$@"\n')
    wrapper.chmod(0o755)
    os.environ["PGBALANCER_BIN"] = str(wrapper)
    proxy = PgBalancer(setup, workers=1)
    try:
        load(proxy, chosen, chosen.clients * 20)
        worker = worker_of(proxy)
        ask_callgrind(worker, "zero")
        transactions = load(proxy, chosen, chosen.transactions // 10)
        ask_callgrind(worker, "dump", name)
    finally:
        proxy.stop()
    # The dump asked for is one of several parts: "zero" leaves none, the end of the process another.
    trigger = re.compile(rf"^desc: Trigger: .*{name}$", re.MULTILINE)
    dumps = [path for path in wrapper.parent.glob(f"{profiles.name}.{worker}*") if trigger.search(path.read_text())]
    if not dumps:
        raise SystemExit(f"callgrind has written no profile of process {worker}")
    kept = OUTPUT / "callgrind.out"
    # Frames already on the stack at "zero" are written as calls made 0 times, which callgrind_annotate takes for costs.
    kept.write_text(re.sub(r"^calls=0 .*\n.*\n", "", dumps[0].read_text(), flags=re.MULTILINE))
    annotate = ["callgrind_annotate", "--auto=no", "--threshold=98", kept]
    annotated = subprocess.run(annotate, capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^\s*([\d,]+) \(\s*[\d.]+%\)\s+(.*)$", annotated, re.MULTILINE)
    if not rows or not rows[0][1].startswith("PROGRAM TOTALS"):
        raise SystemExit("callgrind_annotate prints something unexpected")
    print(f"instructions per transaction, {chosen.protocol}, {chosen.clients} clients, {transactions} transactions")
    for count, name in rows[: chosen.top]:
        print(f"{int(count.replace(',', '')) / transactions:10.1f}  {name}")
    print(f"\ncallers: callgrind_annotate --tree=caller --inclusive=yes {kept.relative_to(BUILD.parent)}")


def system_calls(proxy: Proxy, chosen: argparse.Namespace) -> dict[str, float]:
    """Calls per transaction, by name."""
    load(proxy, chosen, chosen.clients * 100)
    summary = OUTPUT / f"strace.{proxy.name}"
    pids = procfs.tree(proxy.root_pid)
    attach = [argument for pid in pids for argument in ("-p", str(pid))]
    trace = [find_program("strace"), "-q", "-f", "-c", "-U", "calls,name", "-o", summary, *attach]
    tracer = processes.spawn(trace, death_signal=signal.SIGINT)
    await_condition(lambda: all(_is_traced(pid) for pid in pids), 10, "strace is attached")
    transactions = load(proxy, chosen, chosen.transactions // 10)
    tracer.send_signal(signal.SIGINT)
    tracer.wait(30)
    rows = re.findall(r"^\s*(\d+)\s+(\w+)$", summary.read_text(), re.MULTILINE)
    return {name: int(calls) / transactions for calls, name in rows if name != "total"}


def _is_traced(pid: int) -> bool:
    return not re.search(r"^TracerPid:\s+0$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)


def profile_syscalls(setup: Setup, chosen: argparse.Namespace) -> None:
    find_program("strace")
    counts = {}
    for kind in (Floor, PgBalancer):
        proxy = kind(setup)
        try:
            counts[kind.name] = system_calls(proxy, chosen)
        finally:
            proxy.stop()
    names = {name for calls in counts.values() for name in calls}
    by_most = sorted(names, key=lambda name: -max(calls.get(name, 0) for calls in counts.values()))
    print(f"system calls per transaction, {chosen.protocol}, {chosen.clients} clients, {setup.workers} processes\n")
    print(f"{'':20}" + "".join(f"{name:>12}" for name in counts))
    for name in by_most[: chosen.top]:
        print(f"{name:20}" + "".join(f"{calls.get(name, 0):12.3f}" for calls in counts.values()))
    print(f"{'total':20}" + "".join(f"{sum(calls.values()):12.3f}" for calls in counts.values()))


KINDS = {"perf": profile_perf, "callgrind": profile_callgrind, "syscalls": profile_syscalls}


def main() -> None:
    parser = argparse.ArgumentParser(description="Profile a worker under pgbench -S.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="simple")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--transactions", type=int, default=200000, help="a tenth of it where the tool is slow")
    parser.add_argument("--transport", choices=["tcp", "unix"], default="tcp")
    parser.add_argument("--workers", type=int, default=2, help="of both, in syscalls")
    parser.add_argument("--top", type=int, default=40, help="lines shown")
    chosen = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    try:
        with stage(chosen.workers, chosen.transport, scale=1) as setup:
            KINDS[chosen.kind](setup, chosen)
    except Unavailable as reason:
        raise SystemExit(str(reason))


if __name__ == "__main__":
    main()
