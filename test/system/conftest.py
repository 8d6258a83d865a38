"""Fixtures of the system tests: one cluster per pytest process, a database per test, pgbalancer as configured.

`target` is what a test of behaviour common to pgbalancer and PostgreSQL talks to; `cluster.primary` is the oracle
beside it.
"""

import contextlib
import itertools
import os

import pytest

from support import comparison
from support.balancer import DIRECT, Direct, PgBalancer
from support.postgres import PostgresCluster
from support.raw_client import connected
from support.tempdirs import SessionDirectory

_database_number = itertools.count(1)


def pytest_collection_modifyitems(items):
    if DIRECT:
        skip = pytest.mark.skip(reason="about pgbalancer; the target is PostgreSQL itself")
        for item in items:
            if item.get_closest_marker("pooler_only"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def session_directory():
    directory = SessionDirectory()
    yield directory
    if os.environ.get("KEEP_TEST_FILES") is None:
        directory.remove()


@pytest.fixture(scope="session")
def cluster(session_directory):
    """One primary, shared by all tests of this process: leave roles and settings as you found them."""
    cluster = PostgresCluster(session_directory)
    yield cluster
    cluster.stop()


@pytest.fixture
def dbname(cluster):
    """A fresh database, owned by app."""
    with cluster.database(f"test{next(_database_number)}") as name:
        yield name


def _start(session_directory, cluster, **settings):
    return Direct(cluster) if DIRECT else PgBalancer(session_directory, cluster, **settings)


@pytest.fixture(scope="session")
def transaction_balancer(session_directory, cluster):
    """pgbalancer in transaction mode with default settings, shared by all tests of this process."""
    balancer = _start(session_directory, cluster)
    yield balancer
    balancer.stop()


@pytest.fixture(scope="session")
def session_balancer(session_directory, cluster):
    balancer = _start(session_directory, cluster, pool_mode="session")
    yield balancer
    balancer.stop()


@pytest.fixture
def balancer(transaction_balancer):
    """The shared pgbalancer in transaction mode; it must be as healthy after the test as before."""
    if DIRECT:
        yield transaction_balancer
        return
    workers = transaction_balancer.worker_pids()
    assert workers, "pgbalancer has no worker"
    yield transaction_balancer
    assert transaction_balancer.worker_pids() == workers, "a worker died:\n" + transaction_balancer.log_text()[-5000:]


@pytest.fixture(params=["transaction", "session"])
def target(request):
    """pgbalancer in each pool mode: for tests whose outcome must not depend on it."""
    return request.getfixturevalue(f"{request.param}_balancer")


@pytest.fixture
def make_balancer(session_directory, cluster):
    """make_balancer(**settings) starts a pgbalancer of the test's own; see PgBalancer for the arguments."""
    made = []

    def make(**settings):
        balancer = _start(session_directory, cluster, **settings)
        made.append(balancer)
        return balancer

    yield make
    for balancer in made:
        balancer.stop()


@pytest.fixture(scope="module")
def module_balancer(session_directory, cluster):
    """As make_balancer, but one with the same settings is shared by all tests of a module."""
    made = {}

    def make(**settings):
        key = tuple(sorted(settings.items()))
        if key not in made:
            made[key] = _start(session_directory, cluster, **settings)
        return made[key]

    yield make
    for balancer in made.values():
        balancer.stop()


@pytest.fixture
def single_server_balancer(make_balancer):
    """One worker with one server connection: every session shares it, so whatever one leaves behind meets the next."""
    return make_balancer(num_init_children=1, max_pool=1)


@pytest.fixture
def raw(dbname):
    """raw(target, **parameters) gives a logged-in RawClient on the test's database, closed at the end."""
    with contextlib.ExitStack() as stack:

        def connect(target, dbname=dbname, **parameters):
            return stack.enter_context(connected(target, dbname, **parameters))

        yield connect


@pytest.fixture(scope="session")
def oracle_dbname(cluster):
    """A database for conversations with PostgreSQL directly, emptied and used again: nothing caches what is in it."""
    with cluster.database("oracle") as name:
        yield name


@pytest.fixture
def same(cluster, oracle_dbname):
    """same(target, *steps, setup=…, **how) holds a conversation with the target and with PostgreSQL directly, in a database
    each, prepared by the SQL in `setup`; the replies must be equal. Returns PostgreSQL's, so that a test can say what it relies on.
    """

    def hold(server, dbname, steps, setup, how):
        if setup:
            cluster.primary.query(setup, dbname=dbname, user="app")
        return comparison.hold(server, dbname, steps, **how)

    def run(target, *steps, setup: str = "", **how):
        expected = hold(cluster.primary, oracle_dbname, list(steps), setup, how)
        cluster.primary.query("DROP OWNED BY app CASCADE", dbname=oracle_dbname)
        with cluster.database(f"same{next(_database_number)}") as dbname:
            got = hold(target, dbname, list(steps), setup, how)
        comparison.assert_same(list(steps), got, expected)
        return expected

    return run
