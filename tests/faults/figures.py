"""The figures of `make faults`, for docs/security.md: `python -m tests.faults.figures`."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.faults.strikes import FAULTS

ROOT = Path(__file__).parents[2]
NOTES = ROOT / "runs/faults.jsonl"
"""The file with one line for each draw. `make faults` begins it anew."""

PAGE = ROOT / "docs/security.md"
DRAWS = 16
"""How many draws `make faults` makes of each kind, as the Makefile says."""

BEGIN, END = "<!-- faults: begin -->\n", "<!-- faults: end -->\n"


class Drawn(Struct, frozen=True, kw_only=True):
    """A draw: what was drawn, and what was `left` on the machine, `lost` of the records, or otherwise `wrong`."""

    moment: float
    which: int
    agent: bool
    left: list[str]
    lost: list[str]
    wrong: list[str]
    seconds: float
    output: str = ""

    @property
    def faults(self) -> list[str]:
        """Everything that went wrong, one line each."""
        at = f"at moment {self.moment} (which={self.which}, agent={self.agent})"
        kinds = {"left": self.left, "lost": self.lost, "wrong": self.wrong}
        return [f"{at}: {kind}: {what}" for kind, found in kinds.items() for what in found]


class Note(Struct, frozen=True):
    """A line of the file."""

    kind: str
    drawn: Drawn


def note(kind: str, drawn: Drawn) -> None:
    """Write a draw down."""
    NOTES.parent.mkdir(exist_ok=True)
    with NOTES.open("ab") as file:
        file.write(msgspec.json.encode(Note(kind, drawn)) + b"\n")


def table(notes: list[Note], names: dict[str, str]) -> str:
    """Return the table. `names` are the faults in words, by kind."""
    rows = ["| fault | draws | left over | records lost | not as unbroken | seconds |", "|---|---|---|---|---|---|"]
    by_kind = [(what, [one.drawn for one in notes if one.kind == kind]) for kind, what in names.items()]
    by_kind.append(("all", [one.drawn for one in notes]))
    for what, drawn in by_kind:
        figures = (
            len(drawn),
            sum(len(one.left) for one in drawn),
            sum(len(one.lost) for one in drawn),
            sum(bool(one.wrong) for one in drawn),
            round(sum(one.seconds for one in drawn)),
        )
        rows.append(f"| {' | '.join(map(str, (what, *figures)))} |")
    return "\n".join(rows) + "\n"


def written(page: str, notes: list[Note], names: dict[str, str]) -> str:
    """Return the page with the table between its marks. Raise `ValueError` if it has no marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} has no marks for the figures")
    told = f"These figures are of {len(notes)} draws. `make faults` makes {DRAWS * len(names)} by default.\n"
    return f"{before}{BEGIN}\n{told}\n{table(notes, names)}\n{END}{after}"


def main() -> None:
    """Write the figures of the last draws into the page."""
    if not NOTES.is_file():
        sys.exit(f"{NOTES} does not exist: no fault was drawn, so the figures stay as they are")
    notes = [msgspec.json.decode(line, type=Note) for line in NOTES.read_bytes().splitlines()]
    names = {kind: fault.what for kind, fault in FAULTS.items()}
    PAGE.write_text(written(PAGE.read_text(), notes, names))
    sys.stdout.write(f"wrote the figures of {len(notes)} draws to {PAGE}\n")


if __name__ == "__main__":
    main()
