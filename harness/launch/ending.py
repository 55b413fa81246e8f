"""What is said at the end of a launched run: the table, the parts that are lost, and the cases that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.launch.states import PartView
from harness.report.table import table
from harness.results.record import Record
from harness.results.runs import read_run
from harness.results.store import unrecorded


def closing_lines(run: Path, views: Sequence[PartView]) -> tuple[list[str], int]:
    """Return the last lines, and the exit status: 0 if all cases have run and none has failed. Raise `RunError`."""
    folder, records = read_run(run)
    missing = unrecorded(folder, records)
    lines = [*table(records), f"records: {folder / 'results.jsonl'}"]
    for one in views:
        if one.phase in {"lost", "cancelled"}:
            lost = f"{one.name} is {'lost' if one.phase == 'lost' else 'cancelled'}"
            lines.append(f"{lost}{f': {one.why}' if one.why else ''}")
            gone = [
                name for name in missing if name in {*one.part.cases} or name.rpartition(".")[0] in {*one.part.cases}
            ]
            if gone:
                lines.append(f"  missing, not counted as anything: {', '.join(gone)}")
    failed = any(map(_fails, records))
    return lines, int(failed or bool(missing) or not all(one.phase == "done" for one in views))


def _fails(record: Record) -> bool:
    """Return whether a record makes pytest's exit status 1. A known failure does so if it passes."""
    if record.outcome == "error":
        return True
    return record.outcome == ("failed" if record.known_failure is None else "passed")
