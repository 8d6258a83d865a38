"""The Markdown of a run: what doc/BENCHMARKS.md holds and `make bench` prints."""

from figures import Samples, Spread, verdicts

_TITLES = {"pgpool": "pgpool-II", "haproxy": "HAProxy"}


def _title(proxy: str) -> str:
    return _TITLES.get(proxy, proxy)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def _spread(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return "–"
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f}–{spread.high:.{digits}f})"


def _cells_of(run: dict, pool: bool) -> list[str]:
    known = dict.fromkeys(s["cell"] for s in run["samples"])
    return [c for c in run["options"]["cells"] if c in known and (c in run["pool_cells"]) == pool]


def _proxies_of(run: dict, cells: list[str]) -> list[str]:
    present = {s["proxy"] for s in run["samples"] if s["cell"] in cells}
    return [p for p in run["proxies"] if p in present]


def _figure_table(run: dict, cells: list[str], figure: str, digits: int) -> str:
    samples = Samples(run["samples"])
    proxies = [p for p in _proxies_of(run, cells) if any(samples.values(c, p, figure) for c in cells)]
    rows = []
    for cell in cells:
        notes = {proxy: f" ({note})" for proxy, note in run["notes"].get(cell, {}).items() if note}
        figures = [_spread(samples.spread(cell, proxy, figure), digits) + notes.get(proxy, "") for proxy in proxies]
        rows.append([cell, *figures])
    return _table(["cell", *map(_title, proxies)], rows)


def _ratio_table(run: dict, cells: list[str], yardstick: str, figure: str) -> str:
    samples = Samples(run["samples"])
    others = [proxy for proxy in _proxies_of(run, cells) if proxy != yardstick]
    proxies = [proxy for proxy in others if any(samples.ratio(cell, proxy, yardstick, figure) for cell in cells)]
    if not proxies:
        return ""
    rows = [[cell] + [_spread(samples.ratio(cell, proxy, yardstick, figure), 3) for proxy in proxies] for cell in cells]
    return _table([f"÷ {yardstick}", *map(_title, proxies)], rows)


def _throughput_sections(run: dict) -> list[str]:
    sections = []
    for pool, title, yardstick in ((False, "", "floor"), (True, ", 48 clients on 8 server connections", "pgbouncer")):
        cells = _cells_of(run, pool)
        if not cells:
            continue
        for heading, table in (
            ("CPU µs per transaction", _figure_table(run, cells, "cpu_us", 1)),
            (f"CPU per transaction against {yardstick}", _ratio_table(run, cells, yardstick, "cpu_us")),
            ("Transactions per second", _figure_table(run, cells, "tps", 0)),
            ("Transactions per second against pgbouncer", _ratio_table(run, cells, "pgbouncer", "tps")),
        ):
            if table:
                sections.append(f"### {heading}{title}\n\n{table}")
    return sections


def _idle_section(run: dict) -> str:
    rows = []
    for idle in run["idle"]:
        what = _title(idle["proxy"]) + (", with state" if idle["state"] else ", plain")
        if idle.get("error"):
            rows.append([what, idle["error"], "", "", "", ""])
            continue
        slope = idle["bytes_per_client"]
        checks = [check for check in (idle["answers"], idle["state_kept"]) if check]
        answered = [f"{c['answered']} of {c['asked']} in {c['slowest_seconds'] or 0:.2f} s" for c in checks]
        mib = [f"{idle[name]['total'] / 2**20:.1f}" for name in ("memory_few", "memory_many", "memory_after")]
        rows.append(
            [
                what,
                f"{slope['total']:.0f}",
                f"{slope['anonymous']:.0f} / {slope['shared']:.0f}",
                f"{idle['few']}–{idle['many']}",
                " / ".join(mib),
                ", ".join(answered),
            ]
        )
    head = ["", "bytes per client", "private / shared", "between", "MiB: few / many / after all asked", "right answers"]
    return f"### Idle clients\n\n{_table(head, rows)}"


def _skew_section(skew: dict) -> str:
    if skew.get("error"):
        return f"### Skewed clients\n\n{skew['error']}\n"
    rows = [
        [name, f"{skew[key]['per_second']:.0f}", f"{skew[key]['latency_ms']:.1f}", f"{skew[key]['latency_max_ms']:.1f}"]
        for name, key in (("spread over all workers", "even"), ("all of one worker", "skewed"))
    ]
    text = (
        f"{skew['clients']} busy clients, {skew['workers']} workers, {skew['capacity']} server connections, "
        "5 ms in the server."
    )
    head = ["the busy clients are", "statements/s", "mean ms", "max ms"]
    return f"### Skewed clients\n\n{text}\n\n{_table(head, rows)}"


def _remarks(run: dict) -> str:
    samples = Samples(run["samples"])
    lines = []
    foreign = samples.foreign()
    if foreign:
        shares = f"median {foreign.median:.1%}, at most {foreign.high:.1%}"
        lines.append(f"- Processor time that went to others during a sample: {shares}.")
    counts: dict[tuple[str, str, str], int] = {}
    for sample in samples.errors():
        key = (sample["cell"], sample["proxy"], sample["error"])
        counts[key] = counts.get(key, 0) + 1
    for (cell, proxy, error), count in counts.items():
        lines.append(f"- {proxy} in {cell}, {count} of {run['options']['rounds']} rounds without figures: {error}")
    lines += [f"- {name}: {reason}." for name, reason in run["unavailable"].items()]
    return "".join(line + "\n" for line in lines)


def _verdict_table(run: dict) -> str:
    words = {True: "met", False: "**missed**", None: "not measured"}
    return _table(["target", "", "found"], [[v.target, words[v.passed], v.found] for v in verdicts(run)])


def markdown(run: dict) -> str:
    versions = ", ".join(f"{_title(name)} {version}" for name, version in run["proxies"].items() if version)
    machine, options = run["machine"], run["options"]
    hardware = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    head = (
        f"Command: `{run['command']}`, {run['date']}.\n\n"
        f"Machine: {hardware}, Linux {machine['kernel']}.\n"
        f"PostgreSQL {machine['postgres']}; {versions}.\n"
        f"To the server over {options['transport']}; {options['workers']} workers; {options['rounds']} rounds of "
        f"{options['seconds']} s; pgbench -S, scale {options['scale']}. Median (minimum–maximum).\n"
    )
    sections = [head, f"### Targets\n\n{_verdict_table(run)}", *_throughput_sections(run)]
    if run["idle"]:
        sections.append(_idle_section(run))
    if run["skew"]:
        sections.append(_skew_section(run["skew"]))
    remarks = _remarks(run)
    if remarks:
        sections.append(f"### Remarks\n\n{remarks}")
    return "\n".join(sections)
