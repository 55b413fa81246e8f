"""`python -m harness report` and `merge`: what finished runs say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.report.summary import markdown as summary
from harness.report.table import table
from harness.results.merge import merge, merged_name
from harness.results.record import Record
from harness.results.runs import read_run
from harness.results.store import unrecorded


def report(run: Path, *, markdown: bool) -> int:
    """Print the table of a run, or its summary in Markdown. Raises `RunError`."""
    folder, records = read_run(run)
    print("\n".join(summary(records) if markdown else table(records)))
    _tell_missing(folder, records)
    return 0


def merge_runs(runs: Sequence[Path], into: Path | None) -> int:
    """Join runs in the folder `into`, by default a new one in `runs/`, and print the table. Raises `RunError`."""
    folder = into or Path("runs") / merged_name(runs)
    records = merge(runs, folder)
    print("\n".join([*table(records), f"records: {folder / 'results.jsonl'}"]))
    _tell_missing(folder, records)
    return 0


def _tell_missing(folder: Path, records: Sequence[Record]) -> None:
    """Say which cases were to run and have no record."""
    missing = unrecorded(folder, records)
    if missing:
        print(f"\n{len(missing)} of {len(missing) + len(records)} cases have no record: {', '.join(missing)}")
