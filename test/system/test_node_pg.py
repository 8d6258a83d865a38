"""node-postgres, the commonest client that is not built on libpq."""

from pathlib import Path

import pytest

from support import node

SCRIPTS = Path(__file__).parent / "node"


@pytest.mark.skipif(not node.available(), reason="node or npm is not installed")
def test_node_postgres(target, dbname):
    printed = node.run(SCRIPTS / "basics.js", target, dbname)
    assert printed.split("\n")[:-1] == [f"{step} done" for step in
                                        ("queries", "errors", "namedStatements", "notifications", "pool")]  # fmt: skip
