"""Random conversations have the same outcome with PostgreSQL and with pgbalancer before a primary and standbys that lag.

DIFFERENTIAL_SEED and DIFFERENTIAL_STATEMENTS in the environment take the place of the seed and the number here.
"""

import contextlib
import os
import random

import pytest

from support.balancer import PgBalancer
from support.differential.fuzzing import Differential
from support.postgres import PostgresCluster

pytestmark = pytest.mark.pooler_only

# The primary serves reads only where it must. `global`: conversations in which sessions read what others wrote.
_COMMON = {"sr_check_period": "20ms", "backend_weight0": 0, "statement_level_load_balance": "on"}
CONFIGURATIONS = {
    "session": {"num_init_children": 1},
    "global": {"num_init_children": 2, "read_your_writes": "global"},
}


@pytest.fixture(scope="module")
def trio(session_directory):
    """A primary and two standbys. Whoever waits for a lock fails soon: no other session could release it meanwhile."""
    cluster = PostgresCluster(session_directory, standbys=2, autovacuum="off", lock_timeout="50ms")
    yield cluster
    cluster.stop()


@pytest.fixture
def differential(trio, session_directory):
    with contextlib.ExitStack() as stack:

        def make(name):
            through = stack.enter_context(trio.database(f"through_{name}"))
            direct = stack.enter_context(trio.database(f"direct_{name}"))
            balancer = PgBalancer(session_directory, trio, **_COMMON | CONFIGURATIONS[name])
            stack.callback(balancer.stop)
            made = Differential(trio, (trio.primary, direct), (balancer, through), shared=name == "global")
            stack.callback(made.close)
            return made

        yield make


def _fuzz(made: Differential, statements: int, shrink_seconds: float, seed: str) -> None:
    statements = int(os.environ.get("DIFFERENTIAL_STATEMENTS", statements))
    made.run(os.environ.get("DIFFERENTIAL_SEED", seed), statements, shrink_seconds)
    assert made.standbys.reads() > statements / 150, "standbys took part"


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.timeout(180)
def test_same_outcome(differential, configuration):
    _fuzz(differential(configuration), 1500, 60, "1")


@pytest.mark.long
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.timeout(7200)
def test_same_outcome_long(differential, configuration):
    _fuzz(differential(configuration), 110_000, 600, str(random.randrange(1 << 32)))
