"""What is lost when the busy clients all belong to one worker.

Server connections belong to workers, so a worker can have clients waiting while another has connections idle. The
same number of busy clients is taken once from all workers alike and once from a single one; the statement sleeps in
the server, so that server connections are what is scarce and not processor time.
"""

import statistics

import procfs
from crowd import Crowd, query
from proxies import USER, PgBalancer, Setup

_CLIENTS_PER_WORKER = 16
_STATEMENT = query("SELECT pg_sleep(0.005)")


def measure(setup: Setup, seconds: float, capacity: int = 8) -> dict:
    """Statements per second and mean latency of both arrangements."""
    proxy = PgBalancer(setup, capacity=capacity)
    try:
        with Crowd(proxy.port, USER, proxy.database("simple")) as crowd:
            by_worker = _clients_of_workers(crowd, proxy)
            share = _CLIENTS_PER_WORKER // len(by_worker)
            even = [client for clients in by_worker.values() for client in clients[:share]]
            skewed = next(iter(by_worker.values()))[: len(even)]
            result = {"capacity": capacity, "workers": len(by_worker), "clients": len(even)}
            for name, clients in (("even", even), ("skewed", skewed)):
                crowd.keep_busy(clients, _STATEMENT, min(1.0, seconds))  # server connections are opened
                outcome = crowd.keep_busy(clients, _STATEMENT, seconds)
                result[name] = {
                    "per_second": outcome.answered / seconds,
                    "latency_ms": statistics.mean(outcome.latencies) * 1000,
                    "latency_max_ms": max(outcome.latencies) * 1000,
                }
            return result
    finally:
        proxy.stop()


def _clients_of_workers(crowd: Crowd, proxy: PgBalancer) -> dict[int, list]:
    """Worker → its clients, after logging in so many that every worker has enough."""
    workers = proxy.worker_pids()
    while True:
        crowd.grow(len(crowd.clients) + _CLIENTS_PER_WORKER)
        owners = procfs.connection_owners(proxy.root_pid, proxy.port)
        by_worker = {pid: [c for c in crowd.clients if owners.get(c.local_port) == pid] for pid in workers}
        if min(map(len, by_worker.values())) >= _CLIENTS_PER_WORKER:
            return by_worker
        if len(crowd.clients) > 20 * _CLIENTS_PER_WORKER * len(workers):
            raise RuntimeError(f"clients spread so unevenly: {[len(c) for c in by_worker.values()]}")
