"""`proctor diff`: shows two sessions side by side, from where the agents parted."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from difflib import unified_diff
from itertools import islice
from pathlib import Path

from harness.case_folder import CaseFolder
from harness.characters import printable
from harness.commands.chosen import chosen, transcripts
from harness.commands.errors import BadInput
from harness.commands.show import print_paged
from harness.results.record import Record
from harness.results.references import find_run
from harness.results.runs import RunError, read_run
from harness.transcript.parting import paired, same_turns, side_by_side
from harness.transcript.text import TextLine, turn_lines
from harness.transcript.turns import Thread, Transcript, Turn

_MOST_LINES = 25
"""How many lines of a text are shown without `--full`."""

_MOST_BYTES = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor diff`."""
    parser.add_argument("run", metavar="RUN", help="the run's folder or name, its results.jsonl, last or tag:NAME")
    parser.add_argument("other", metavar="RUN", help="another run, or the same one")
    parser.add_argument("case", metavar="CASE", help="the id of the case, or a part of it that only one case has")
    parser.add_argument("other_case", metavar="CASE", nargs="?", help="the case in the other run (default: the same)")
    parser.add_argument("--full", action="store_true", help=f"show texts of more than {_MOST_LINES} lines to their end")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")


class _ComparedSession:
    """One of the two sessions: its record, its folder and its last transcript."""

    def __init__(self, reference: str, name: str, runs: Path) -> None:
        try:
            found = find_run(reference, runs)
            self.run, records = read_run(found)
        except RunError as error:
            raise BadInput(str(error)) from error
        self.record: Record = chosen(records, name, self.run)
        found_transcripts = transcripts(self.record, self.run)
        self.transcript: Transcript | None = found_transcripts[-1] if found_transcripts else None
        self.files = CaseFolder(self.run / (self.record.artifacts or ""))

    @property
    def thread(self) -> Thread:
        """The turns of the last attempt."""
        return self.transcript.thread if self.transcript else Thread()

    def text(self, name: str) -> str:
        """Return the prompt or the instructions."""
        return (getattr(self.transcript, name) or "") if self.transcript else ""


def run(given: argparse.Namespace) -> int:
    """Print the differences. Raise `BadInput`."""
    one = _ComparedSession(given.run, given.case, given.runs_dir)
    other = _ComparedSession(given.other, given.other_case or given.case, given.runs_dir)
    width = shutil.get_terminal_size((160, 40)).columns
    print_paged(_lines(one, other, width, None if given.full else _MOST_LINES))
    return 0


def _lines(one: _ComparedSession, other: _ComparedSession, width: int, most: int | None) -> Iterator[TextLine]:
    for sign, session in (("-", one), ("+", other)):
        record = session.record
        yield TextLine(f"{sign} {session.run.name} {record.case.id}: {record.outcome}, {record.explanation}", "bold")
    yield from _conditions(one.record, other.record)
    for name in ("prompt", "instructions"):
        yield from _differing(name, one.text(name), other.text(name))
    yield from _submissions(one.files, other.files)
    same = same_turns(one.thread, other.thread)
    pairs = paired(one.thread, other.thread)
    yield TextLine("")
    if not pairs:
        yield TextLine("transcript: neither session has a turn", "dim")
        return
    if same == len(pairs):
        yield TextLine(f"transcript: all {same} turns are the same", "green")
        return
    parted = f"the agents part after turn {same}" if same else "the agents part at the first turn"
    yield TextLine(f"transcript: {parted}", "bold")
    for left, right in pairs[same:]:
        yield TextLine("")
        yield from map(TextLine, side_by_side(_plain(left, most), _plain(right, most), width))


def _plain(turn: Turn | None, most: int | None) -> list[str]:
    """Return the lines of a turn, without what would change their width."""
    if turn is None:
        return ["(no turn)"]
    return [printable(line.text).expandtabs(4) for line in turn_lines(turn, most, measured=False)][1:]


def _conditions(one: Record, other: Record) -> Iterator[TextLine]:
    names = sorted(one.conditions.keys() | other.conditions.keys())
    differing = [name for name in names if one.conditions.get(name) != other.conditions.get(name)]
    if not differing:
        yield TextLine("conditions: the same", "green")
        return
    yield TextLine("conditions that differ:", "yellow")
    for name in differing:
        yield TextLine(f"  {name}: {one.conditions.get(name)} | {other.conditions.get(name)}")


def _differing(name: str, one: str, other: str) -> Iterator[TextLine]:
    if one == other:
        yield TextLine(f"{name}: the same", "green")
        return
    yield TextLine(f"{name}:", "yellow")
    colours = {"+": "green", "-": "red", "@": "dim"}
    lines = unified_diff(one.splitlines(), other.splitlines(), lineterm="", n=2)
    for line in islice(lines, 2, None):  # the first two name files
        yield TextLine(f"  {line}", colours.get(line[:1], ""))


def _submissions(one: CaseFolder, other: CaseFolder) -> Iterator[TextLine]:
    files = {path.relative_to(folder.submission) for folder in (one, other) for path in folder.submission.rglob("*.py")}
    if not files:
        yield TextLine("submission: no Python file in either", "dim")
    for file in sorted(files):
        yield from _differing(f"submission/{file}", _read(one.submission / file), _read(other.submission / file))


def _read(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_MOST_BYTES).decode("utf-8", "replace")
