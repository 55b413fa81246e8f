"""`proctor report`: prints the results of a finished run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness.commands.errors import BadInput
from harness.lazy import LazyModule
from harness.report.summary import markdown
from harness.report.table import table
from harness.results.record import Record
from harness.results.run_folder import VERDICT
from harness.results.runs import RunError, read_run
from harness.results.store import unrecorded

if TYPE_CHECKING:
    from harness.report import verdicts
else:  # it needs SciPy
    verdicts = LazyModule("harness.report.verdicts")


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
    verdict = _verdict(folder / VERDICT, as_markdown=given.markdown)
    if records:
        print("\n".join([*verdict, *markdown(records)] if given.markdown else [*table(records), *verdict]))
    tell_missing(folder, records)
    return 0


def _verdict(file: Path, *, as_markdown: bool) -> list[str]:
    """Return the comparison with the baseline of `pytest --baseline`, if the run had one. Raise `BadInput`."""
    if not file.exists():
        return []
    try:
        compared = msgspec.json.decode(file.read_bytes(), type=verdicts.Compared)
    except msgspec.MsgspecError as error:
        raise BadInput(f"{file}: not a comparison of this version of Proctor: {error}; remove the file") from error
    return [*verdicts.markdown_lines(compared), ""] if as_markdown else ["", *verdicts.lines(compared)]


def tell_missing(folder: Path, records: Sequence[Record]) -> None:
    """Name the cases that the run planned but did not record."""
    missing = unrecorded(folder, records)
    if missing:
        recorded = len(records) - sum(record.try_number > 1 for record in records)
        print(f"\n{len(missing)} of {len(missing) + recorded} cases have no record: {', '.join(missing)}")
