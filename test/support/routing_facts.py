"""The facts that pgbalancer's catalog query gathers about the schema of routing.sql, as lines `kind TAB name`.

    python3 -m support.routing_facts        writes routing.facts anew (in test/), with a server of its own
"""

import re
import sys

from .paths import ROOT
from .postgres import PostgresCluster
from .tempdirs import SessionDirectory

SCHEMA = ROOT / "test/support/routing.sql"
FACTS = ROOT / "test/support/routing.facts"


def catalog_query() -> str:
    source = (ROOT / "src/sql/catalog_facts_query.cpp").read_text()
    return re.search(r'R"sql\((.*)\)sql"', source, re.DOTALL)[1]


def gather(server, dbname: str) -> list[str]:
    """Of that database, which holds the schema."""
    with server.connect(dbname=dbname, user="app") as connection:
        cursor = connection.execute(catalog_query())
        while cursor.description is None:  # the SETs before it
            cursor.nextset()
        rows = cursor.fetchall()
    # information_schema's differ between PostgreSQL's versions, and say nothing about the schema.
    return sorted(f"{in_order(kind)}\t{name}" for kind, name in rows if not is_of_the_server(name))


def in_order(kind: str) -> str:
    """The server may gather the letters behind the colon in any order."""
    what, colon, letters = kind.partition(":")
    return what + colon + "".join(sorted(letters))


def is_of_the_server(name: str) -> bool:
    return name.startswith(("_pg_", "information_schema."))


def main() -> None:
    session = SessionDirectory()
    cluster = PostgresCluster(session)
    try:
        with cluster.database("routing") as dbname:
            cluster.primary.query(SCHEMA.read_text(), dbname=dbname, user="app")
            FACTS.write_text("\n".join(gather(cluster.primary, dbname)) + "\n")
    finally:
        cluster.stop()
        session.remove()
    sys.stdout.write(f"{FACTS}\n")


if __name__ == "__main__":
    main()
