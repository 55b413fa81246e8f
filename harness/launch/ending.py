"""What is said at the end of a launched run: the table, the parts that are lost, and the cases that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.case_folder import case_in
from harness.launch.states import PartView
from harness.report.table import table
from harness.results.record import Record
from harness.results.runs import read_run
from harness.results.store import unrecorded

_MOST = 50
"""How many missing cases of a part are named. `proctor report --json` has all of them (`unrecorded`)."""


def closing_lines(run: Path, views: Sequence[PartView]) -> tuple[list[str], int]:
    """Return the last lines, and the exit status: 0 if all cases have run and none has failed. Raise `RunError`."""
    folder, records = read_run(run)
    missing = unrecorded(folder, records)
    lines = [*table(records), f"records: {folder / 'results.jsonl'}"]
    for one in views:
        gone = _of_part(one, missing)
        if gone:
            lines.append(f"{one.name} is {one.phase}{f': {one.why}' if one.why else ''}")
            more = f", and {len(gone) - _MOST} more" if len(gone) > _MOST else ""
            lines.append(f"  missing, not counted as anything: {', '.join(gone[:_MOST])}{more}")
    failed = any(map(_fails, records))
    return lines, int(failed or bool(missing))


def _of_part(one: PartView, sessions: Sequence[str]) -> list[str]:
    """Return those of the sessions that belong to a part."""
    cases = {*one.part.cases}
    return [session for session in sessions if case_in(session, cases) in cases]


def _fails(record: Record) -> bool:
    """Return whether a record makes pytest's exit status 1. A known failure does so if it passes."""
    if record.outcome == "error":
        return True
    return record.outcome == ("failed" if record.known_failure is None else "passed")
