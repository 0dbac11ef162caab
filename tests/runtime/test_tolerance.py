"""The tolerances are those of docs/spec.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgekit.runtime.spec import SCHEMES
from edgekit.runtime.tolerance import DELEGATES, RUNTIMES, tolerance

DOCS = Path(__file__).resolve().parents[2] / "docs"


def documented(heading: str) -> dict[tuple[str, str], float]:
    """The table below this heading, by scheme and delegate."""
    section = (DOCS / "spec.md").read_text(encoding="utf-8").partition(heading)[2]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")]
            for line in re.findall(r"^\|.*\|$", section.partition("\n## ")[0], re.MULTILINE)]
    (_, *delegates), _, *body = rows
    return {(scheme, delegate): float(cell) for scheme, *cells in body
            for delegate, cell in zip(delegates, cells, strict=True)}


@pytest.mark.parametrize(("heading", "delegates"), [
    ("### Tolerances of the app", DELEGATES), ("## Tolerances of a Raspberry Pi", RUNTIMES),
])
def test_the_tables_are_those_of_the_document(heading: str, delegates: tuple[str, ...]) -> None:
    table = documented(heading)
    assert set(table) == {(scheme, delegate) for scheme in SCHEMES for delegate in delegates}
    assert {key: tolerance(*key) for key in table} == table
