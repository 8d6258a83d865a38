"""The facts that the unit test of the router works with are those the catalog query gathers from a server."""

import pytest

from support import routing_facts

pytestmark = pytest.mark.pooler_only


def test_the_facts_of_the_routing_table_are_the_servers(cluster, dbname):
    cluster.primary.query(routing_facts.SCHEMA.read_text(), dbname=dbname, user="app")
    assert routing_facts.gather(cluster.primary, dbname) == routing_facts.FACTS.read_text().splitlines()
