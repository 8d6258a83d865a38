"""The rows of routing.tsv, for tests that run them: see there what the columns are."""

from dataclasses import dataclass

from .paths import ROOT

TABLE = ROOT / "test/support/routing.tsv"


@dataclass(frozen=True)
class Row:
    line: int
    statements: tuple[str, ...]  # more than one: a batch
    session: str
    configuration: str
    node: str
    reason: str


def read() -> tuple[dict[str, str], list[Row]]:
    """The BEGINs by the name that sessions have for them, and the rows."""
    begins, rows = {}, []
    for number, line in enumerate(TABLE.read_text().splitlines(), start=1):
        columns = line.split("\t")
        if line.startswith("@"):
            begins[columns[0][1:]] = columns[1]
        elif line and not line.startswith("# "):
            statements, *others = columns
            rows.append(Row(number, tuple(statements.split(" ¦ ")), *others))
    return begins, rows
