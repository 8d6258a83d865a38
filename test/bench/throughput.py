"""Transactions per second and CPU per transaction, cell by cell, in interleaved rounds.

A cell is a pgbench protocol and a number of clients; a sample is one pgbench run of one contestant in one cell of one
round. All contestants stay up during the whole run. Within a round the cells come in random order, and within a cell
the contestants, one right after another: figures of one round are comparable with each other even if the machine has
changed since the round before.

CPU is that of all the contestant's processes from just before pgbench starts until just after it ends, clients'
logins included, divided by the transactions of that pgbench.
"""

import os
import random
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import procfs
from proxies import USER, PgBalancer, PgBouncer, Proxy, Setup
from support.paths import postgres_program
from support.postgres import HOST

PROTOCOLS = ["simple", "extended", "prepared"]
CLIENTS = [16, 48]
POOL_CLIENTS, POOL_CAPACITY = 48, 8


@dataclass(frozen=True)
class Cell:
    """`pool`: few server connections for many clients, which only poolers can do."""

    protocol: str
    clients: int
    pool: bool = False

    @property
    def name(self) -> str:
        return f"{self.protocol}-{self.clients}" + (f"-on-{POOL_CAPACITY}" if self.pool else "")


CELLS = [Cell(protocol, clients) for protocol in PROTOCOLS for clients in CLIENTS] + [
    Cell(protocol, POOL_CLIENTS, pool=True) for protocol in PROTOCOLS
]


@dataclass
class Sample:
    round: int
    cell: str
    proxy: str
    transactions: int = 0
    tps: float = 0.0
    cpu_us: float | None = None  # per transaction; None: no proxy, or not to be had
    foreign: float = 0.0  # share of the machine that went to others
    error: str = ""  # then the figures mean nothing


class PgbenchFailed(Exception):
    pass


def parse_pgbench(output: str) -> tuple[int, float]:
    """Transactions and transactions per second of pgbench's report; PgbenchFailed if there are none or some failed."""
    transactions = re.search(r"number of transactions actually processed: (\d+)", output)
    tps = re.search(r"tps = ([\d.]+) \(without initial connection time\)", output)
    failed = re.search(r"number of failed transactions: (\d+)", output)
    if not transactions or not tps or int(transactions.group(1)) == 0 or (failed and int(failed.group(1)) > 0):
        raise PgbenchFailed("no report of pgbench, or failed transactions in it")
    return int(transactions.group(1)), float(tps.group(1))


def pgbench_argv(proxy: Proxy, protocol: str, clients: int, how_long: list[str], jobs: int = 1) -> list[str]:
    """`how_long`: -T seconds or -t transactions."""
    return [
        postgres_program("pgbench"), "-n", "-S", "-M", protocol, "-c", str(clients), "-j", str(jobs), *how_long,
        "-h", HOST, "-p", str(proxy.port), "-U", USER, proxy.database(protocol),
    ]  # fmt: skip


def run_pgbench(proxy: Proxy, cell: Cell, seconds: float, jobs: int) -> tuple[int, float]:
    argv = pgbench_argv(proxy, cell.protocol, cell.clients, ["-T", str(max(1, round(seconds)))], jobs)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60)
    except subprocess.TimeoutExpired:
        raise PgbenchFailed(f"pgbench hangs: no end {60} s after its time") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise PgbenchFailed(f"pgbench exits with {done.returncode}: {lines[0] if lines else done.stderr[-200:]}")
    return parse_pgbench(done.stdout)


def take_sample(round_number: int, proxy: Proxy, cell: Cell, seconds: float, jobs: int) -> Sample:
    sample = Sample(round_number, cell.name, proxy.name)
    machine = procfs.MachineSample(os.getpid())
    before = procfs.CpuSample(proxy.root_pid) if proxy.root_pid else None
    try:
        sample.transactions, sample.tps = run_pgbench(proxy, cell, seconds, jobs)
    except PgbenchFailed as error:
        sample.error = str(error)
        return sample
    if before:
        spent_us, lost = procfs.CpuSample(proxy.root_pid).since(before)
        if lost:
            sample.error = f"{lost} of its threads ended during the run"
        sample.cpu_us = spent_us / sample.transactions
    sample.foreign = procfs.MachineSample(os.getpid()).foreign_share(machine)
    return sample


class Tournament:
    """The contestants of both kinds of cell, and the samples taken so far."""

    def __init__(self, setup: Setup, proxies: list[Proxy], cells: list[Cell], seconds: float, jobs: int):
        self._cells = cells
        self._seconds = seconds
        self._jobs = jobs
        self._for_pool: list[Proxy] = []
        self._proxies = proxies
        if any(cell.pool for cell in cells):
            kinds = [kind for kind in (PgBouncer, PgBalancer) if any(isinstance(p, kind) for p in proxies)]
            self._for_pool = [kind(setup, capacity=POOL_CAPACITY) for kind in kinds]
        self.samples: list[Sample] = []

    def contestants(self, cell: Cell) -> list[Proxy]:
        return [p for p in (self._for_pool if cell.pool else self._proxies) if p.database(cell.protocol)]

    def warm_up(self) -> None:
        """Server connections are opened and caches filled before anything is measured."""
        for cell in self._cells:
            for proxy in self.contestants(cell):
                try:
                    run_pgbench(proxy, cell, 1, self._jobs)
                except PgbenchFailed:
                    pass  # the samples will say so

    def play(self, rounds: int, progress: Callable[[Sample], None]) -> None:
        for number in range(1, rounds + 1):
            for cell in random.sample(self._cells, len(self._cells)):
                contestants = self.contestants(cell)
                for proxy in random.sample(contestants, len(contestants)):
                    sample = take_sample(number, proxy, cell, self._seconds, self._jobs)
                    self.samples.append(sample)
                    progress(sample)

    def stop(self) -> None:
        for proxy in self._for_pool:
            proxy.stop()
