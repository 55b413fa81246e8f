"""`docs/security.md` says of each kind of sandbox what the suite finds, and names each known breach's reason."""

from __future__ import annotations

from harness.sandbox.canaries import USERS
from harness.sandbox.keeper import DISK, LIMITS, UIDS
from tests.security.conformance.places import GUARANTEES, LACKING, Place
from tests.security.escape_table import DOCUMENT


def table() -> dict[str, list[str]]:
    """Return the cells of each row of the table of guarantees, by the row's guarantees."""
    text = DOCUMENT.read_text().split("## Kinds of sandbox")[1].split("\n## ")[0]
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    return {row[0]: row[1:] for row in rows}


def test_the_table_of_guarantees_tells_the_truth() -> None:
    rows = table()
    places = [Place(*head.split(", ")) for head in rows.pop("guarantee")]
    assert places == list(LACKING)
    said = {
        name: cells for row, cells in rows.items() for name in GUARANTEES if name in row.partition(":")[0].split(", ")
    }
    assert set(said) == set(GUARANTEES)
    for name, cells in said.items():
        for place, cell in zip(places, cells, strict=True):
            assert (cell == "yes") == (name not in LACKING[place]), (name, place)


def test_what_is_lacking_is_known() -> None:
    assert set().union(*LACKING.values()) <= set(GUARANTEES)
    assert {USERS, DISK, UIDS} <= set(GUARANTEES)
    assert set(LIMITS) <= set(GUARANTEES)
