"""From samples to figures: medians with their spread, ratios within a round, and whether the targets are met.

Pure functions over what a run recorded (the JSON of run.py --json): no clock, no processes. A ratio is always taken
between two samples of the same cell and the same round, and the median is over those ratios; it is not the ratio of
two medians.
"""

import statistics
from dataclasses import dataclass

CPU_TARGET, CPU_LIMIT = 1.10, 1.20  # × the yardstick: in all cells but one; in every cell
PLAIN_BYTES, STATE_BYTES = 1024, 2048  # user memory per idle client
ROUNDS_NEEDED = 7
MANY_CLIENTS, MANY_WORKERS = 10000, 2


@dataclass(frozen=True)
class Spread:
    median: float
    low: float
    high: float
    count: int

    @staticmethod
    def of(values: list[float]) -> "Spread | None":
        return Spread(statistics.median(values), min(values), max(values), len(values)) if values else None


@dataclass(frozen=True)
class Verdict:
    """`passed` is None when the run did not measure what the target speaks of."""

    target: str
    passed: bool | None
    found: str


class Samples:
    """The samples of one run, errors apart, by cell and proxy."""

    def __init__(self, samples: list[dict]):
        self._samples = samples
        self._good = {(s["cell"], s["proxy"], s["round"]): s for s in samples if not s["error"]}

    def values(self, cell: str, proxy: str, figure: str) -> list[float]:
        good = [s for (c, p, _), s in self._good.items() if (c, p) == (cell, proxy)]
        return [s[figure] for s in good if s[figure] is not None]

    def spread(self, cell: str, proxy: str, figure: str) -> Spread | None:
        return Spread.of(self.values(cell, proxy, figure))

    def ratio(self, cell: str, proxy: str, yardstick: str, figure: str) -> Spread | None:
        """proxy ÷ yardstick, round by round; rounds in which either failed do not count."""
        ratios = []
        for (c, p, number), sample in self._good.items():
            other = self._good.get((cell, yardstick, number))
            if (c, p) == (cell, proxy) and other and sample[figure] is not None and other[figure]:
                ratios.append(sample[figure] / other[figure])
        return Spread.of(ratios)

    def errors(self) -> list[dict]:
        return [s for s in self._samples if s["error"]]

    def foreign(self) -> Spread | None:
        return Spread.of([s["foreign"] for s in self._good.values()])


def cpu_verdict(samples: Samples, cells: list[str], yardstick: str, what: str) -> Verdict:
    """All cells but one (of six; with fewer, all) within CPU_TARGET, none above CPU_LIMIT. A cell without figures
    misses.
    """
    ratios = {cell: samples.ratio(cell, "pgbalancer", yardstick, "cpu_us") for cell in cells}
    allowed = 1 if len(cells) >= 6 else 0
    target = f"CPU per transaction, {what}: ≤ {CPU_TARGET:.2f} × {yardstick} "
    target += f"in at least {len(cells) - allowed} of {len(cells)} cells"
    target += f", none above {CPU_LIMIT:.2f}" if allowed else ""
    if not any(ratios.values()):
        return Verdict(target, None, "not measured")
    missing = [cell for cell, ratio in ratios.items() if ratio is None]
    over = [cell for cell, ratio in ratios.items() if ratio and ratio.median > CPU_TARGET]
    worst = max((ratio.median, cell) for cell, ratio in ratios.items() if ratio)
    passed = not missing and len(over) <= allowed and worst[0] <= CPU_LIMIT
    found = f"{len(cells) - len(over) - len(missing)} of {len(cells)} within; worst {worst[0]:.3f} ({worst[1]})"
    return Verdict(target, passed, found + _incomplete(ratios))


def throughput_verdict(samples: Samples, cells: list[str]) -> Verdict:
    ratios = {cell: samples.ratio(cell, "pgbalancer", "pgbouncer", "tps") for cell in cells}
    target = f"throughput ≥ pgbouncer's in {len(cells)} cells, simple and extended"
    if not any(ratios.values()):
        return Verdict(target, None, "not measured")
    missing = [cell for cell, ratio in ratios.items() if ratio is None]
    below = [cell for cell, ratio in ratios.items() if ratio and ratio.median < 1]
    worst = min((ratio.median, cell) for cell, ratio in ratios.items() if ratio)
    return Verdict(target, not below and not missing, f"lowest {worst[0]:.3f} ({worst[1]})" + _incomplete(ratios))


def _incomplete(ratios: dict[str, Spread | None]) -> str:
    """What a verdict over these ratios is weaker for."""
    missing = [cell for cell, ratio in ratios.items() if ratio is None]
    fewest = min(ratio.count for ratio in ratios.values() if ratio)
    text = f"; not measured: {', '.join(missing)}" if missing else ""
    return text + (f"; only {fewest} rounds, {ROUNDS_NEEDED} needed" if fewest < ROUNDS_NEEDED else "")


def _idle(run: dict, proxy: str, state: bool) -> dict | None:
    found = [i for i in run["idle"] if i["proxy"] == proxy and i["state"] is state and not i.get("error")]
    return found[0] if found else None


def memory_verdicts(run: dict) -> list[Verdict]:
    verdicts = []
    theirs = _idle(run, "pgbouncer", False)
    plain_limit = max(PLAIN_BYTES, theirs["bytes_per_client"]["total"] if theirs else 0)
    kinds = [(False, plain_limit, "plain"), (True, STATE_BYTES, "a prepared statement and three SETs")]
    for state, limit, what in kinds:
        ours = _idle(run, "pgbalancer", state)
        target = f"user memory per idle client, {what}: ≤ {limit:.0f} bytes"
        if ours is None:
            verdicts.append(Verdict(target, None, "not measured"))
            continue
        found = ours["bytes_per_client"]["total"]
        between = f"between {ours['few']} and {ours['many']} clients"
        verdicts.append(Verdict(target, found <= limit, f"{found:.0f} bytes {between}"))
    return verdicts


def answers_verdict(run: dict) -> Verdict:
    """All of the idle clients, asked at the same time, get the right answer, and those with state still have it."""
    workers = run["options"]["workers"]
    measured = [i for i in (_idle(run, "pgbalancer", state) for state in (False, True)) if i]
    target = f"{MANY_CLIENTS} idle clients on {MANY_WORKERS} workers all answer"
    if not measured:
        return Verdict(target, None, "not measured")
    checks = [i[name] for i in measured for name in ("answers", "state_kept") if i[name]]
    wrong = [c for c in checks if c["answered"] != c["asked"] or c["error_count"]]
    enough = all(i["many"] >= MANY_CLIENTS for i in measured) and workers == MANY_WORKERS
    clients = min(i["many"] for i in measured)
    slowest = max(c["slowest_seconds"] or 0 for c in checks)
    found = f"{clients} clients on {workers} workers: {len(checks) - len(wrong)} of {len(checks)} checks right, "
    found += f"slowest answer {slowest:.2f} s"
    found += f"; first error: {wrong[0]['errors'][:1]}" if wrong else ""
    return Verdict(target, False if wrong else (True if enough else None), found)


def verdicts(run: dict) -> list[Verdict]:
    """All targets, in the order they are set. `run` is what run.py records."""
    samples = Samples(run["samples"])
    plain = [f"{protocol}-{clients}" for protocol in ("simple", "extended", "prepared") for clients in (16, 48)]
    pooled = [c for c in run["pool_cells"] if samples.values(c, "pgbouncer", "cpu_us")]
    return [
        cpu_verdict(samples, plain, "floor", "16 and 48 clients"),
        cpu_verdict(samples, pooled, "pgbouncer", "48 clients on 8 server connections"),
        throughput_verdict(samples, [c for c in plain if not c.startswith("prepared")]),
        *memory_verdicts(run),
        answers_verdict(run),
    ]
