"""`proctor report`: prints the results of a finished run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from harness.commands.errors import BadInput
from harness.report.summary import markdown
from harness.report.table import table
from harness.results.record import Record
from harness.results.runs import RunError, read_run
from harness.results.store import unrecorded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor report`."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder (runs/latest) or its results.jsonl")
    parser.add_argument("--markdown", action="store_true", help="print a summary in Markdown, for the page of a CI job")


def run(given: argparse.Namespace) -> int:
    """Print the table of a run, or its summary in Markdown. Raise `BadInput`."""
    try:
        folder, records = read_run(given.run)
    except RunError as error:
        raise BadInput(str(error)) from error
    if records:
        print("\n".join(markdown(records) if given.markdown else table(records)))
    tell_missing(folder, records)
    return 0


def tell_missing(folder: Path, records: Sequence[Record]) -> None:
    """Name the cases that the run planned but did not record."""
    missing = unrecorded(folder, records)
    if missing:
        recorded = len(records) - sum(record.try_number > 1 for record in records)
        print(f"\n{len(missing)} of {len(missing) + recorded} cases have no record: {', '.join(missing)}")
