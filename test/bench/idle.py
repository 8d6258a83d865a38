"""What idle clients cost: user memory per client, and whether all of them still get an answer.

The figure is a slope: the memory of the proxy's whole process tree with many clients, minus that with few, per client
between. What a proxy needs however few there are falls out of it, and so does kernel memory, which is the same for
all. Every client has run a statement before either reading, because a pooler that frees its buffers only at the end
of a connection must not look like one that gives them back. After the second reading all clients ask at the same
time; what memory that leaves behind is reported apart.
"""

import time
from collections.abc import Callable
from dataclasses import asdict

import procfs
from crowd import SYNC, Client, Crowd, Outcome, execute, first_value, no_error, parse, query
from proxies import USER, PgBalancer, PgBouncer, Proxy, Setup

_SETTLED_BYTES = 64 * 1024
_AT_ONCE = 50


def _application(client: Client) -> str:
    return f"client {client.index}"


def _timeout_ms(client: Client) -> int:
    return 60001 + 2 * client.index  # odd, so that the server shows it in milliseconds


# What a client with state of its own did, beyond logging in. pgbouncer can keep no prepared statement (before 1.21)
# and follows only settings the server reports, so its three are others.
_COMMON_SETTINGS: list[Callable[[Client], bytes]] = [
    lambda client: query(f"SET application_name = '{_application(client)}'"),
    lambda client: query("SET TimeZone = 'Pacific/Auckland'"),
]
_PGBALANCER_STATE = [
    *_COMMON_SETTINGS,
    lambda client: query(f"SET statement_timeout = {_timeout_ms(client)}"),
    lambda client: parse("increment", "SELECT $1::integer + 1") + SYNC,
]
_PGBOUNCER_STATE = [*_COMMON_SETTINGS, lambda client: query("SET DateStyle = 'ISO, DMY'")]


def settled_memory(root: int, patience: float = 10.0) -> dict[str, int]:
    """The tree's memory once two readings half a second apart agree, or when patience runs out."""
    end = time.monotonic() + patience
    reading = procfs.memory_bytes(root)
    while time.monotonic() < end:
        time.sleep(0.5)
        previous, reading = reading, procfs.memory_bytes(root)
        if abs(reading["total"] - previous["total"]) <= _SETTLED_BYTES:
            break
    return reading


def _answers(crowd: Crowd, clients: list[Client] | None = None) -> Outcome:
    """These clients, or all, at the same time ask for their own number."""
    return crowd.ask(
        lambda client: query(f"SELECT {client.index}"),
        first_value,
        expected=lambda client: str(client.index),
        clients=clients,
    )


def _grow(crowd: Crowd, size: int, state: list[Callable[[Client], bytes]]) -> None:
    """Logs in up to `size` clients, gives each its state and lets it run a statement: some at a time, since what is
    measured is idle.
    """
    while len(crowd.clients) < size:
        known = len(crowd.clients)
        crowd.grow(min(size, known + _AT_ONCE))
        newcomers = crowd.clients[known:]
        outcomes = [crowd.ask(request, no_error, clients=newcomers) for request in state]
        for outcome in [*outcomes, _answers(crowd, newcomers)]:
            if not outcome.all_right:
                raise RuntimeError(f"{outcome.answered} of {outcome.asked} newcomers answered, {outcome.errors[:3]}")


def _keeps_state(crowd: Crowd, state: list[Callable[[Client], bytes]]) -> Outcome:
    """Every client finds its own settings, and its prepared statement if it has one."""
    names = ["application_name", "TimeZone"] + (["statement_timeout"] if state is _PGBALANCER_STATE else [])

    def expected(client: Client) -> str:
        values = [_application(client), "Pacific/Auckland"]
        return "/".join(values + ([f"{_timeout_ms(client)}ms"] if state is _PGBALANCER_STATE else []))

    sql = "SELECT concat_ws('/', " + ", ".join(f"current_setting('{name}')" for name in names) + ")"
    outcome = crowd.ask(lambda _: query(sql), first_value, expected=expected)
    if state is _PGBALANCER_STATE and outcome.all_right:
        outcome = crowd.ask(
            lambda client: execute("increment", str(client.index)) + SYNC,
            first_value,
            expected=lambda client: str(client.index + 1),
        )
    return outcome


def _measure(proxy: Proxy, few: int, many: int, state: list[Callable[[Client], bytes]]) -> dict:
    memory = {}
    with Crowd(proxy.port, USER, proxy.database("simple")) as crowd:
        for size in (few, many):
            _grow(crowd, size, state)
            memory[size] = settled_memory(proxy.root_pid)
        outcome = _answers(crowd)
        kept = _keeps_state(crowd, state) if state else None
        after = settled_memory(proxy.root_pid)
    slope = {kind: (memory[many][kind] - memory[few][kind]) / (many - few) for kind in memory[many]}
    return {
        "few": few,
        "many": many,
        "bytes_per_client": slope,
        "memory_few": memory[few],
        "memory_many": memory[many],
        "memory_after": after,
        "answers": _summary(outcome),
        "state_kept": _summary(kept) if kept else None,
    }


def _summary(outcome: Outcome) -> dict:
    figures = asdict(outcome)
    latencies = figures.pop("latencies")
    figures["errors"] = outcome.errors[:5]
    figures["error_count"] = len(outcome.errors)
    figures["slowest_seconds"] = max(latencies, default=None)
    return figures


def measure(setup: Setup, kind: type[Proxy], with_state: bool, few: int, many: int) -> dict:
    """Starts a contestant of its own for this, so that no earlier load has shaped its heap."""
    if kind not in (PgBalancer, PgBouncer):
        raise ValueError(f"{kind.name} cannot hold idle clients on few server connections")
    proxy = kind(setup, max_clients=many + 100)
    try:
        state = {PgBalancer: _PGBALANCER_STATE, PgBouncer: _PGBOUNCER_STATE}[kind] if with_state else []
        return {"proxy": kind.name, "state": with_state, **_measure(proxy, few, many, state)}
    finally:
        proxy.stop()
