"""`proctor report`: prints the results of a finished run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness.commands.errors import BadInput
from harness.lazy import LazyModule
from harness.malformed import MALFORMED
from harness.report.summary import markdown
from harness.report.table import table
from harness.results.record import Record
from harness.results.references import find_run
from harness.results.run_folder import VERDICT
from harness.results.runs import RunError, read_run
from harness.results.store import unrecorded
from harness.verdict.reading import read_trials
from harness.verdict.rules import Rules

if TYPE_CHECKING:
    from harness.report import means, verdicts
else:  # they need SciPy
    means = LazyModule("harness.report.means")
    verdicts = LazyModule("harness.report.verdicts")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor report`."""
    parser.add_argument("run", metavar="RUN", help="the run's folder or name, its results.jsonl, last or tag:NAME")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print everything as JSON")
    form.add_argument("--markdown", action="store_true", help="print a summary in Markdown, for the page of a CI job")


def run(given: argparse.Namespace) -> int:
    """Print the table of a run and the means over replicates, as text, Markdown or JSON. Raise `BadInput`."""
    try:
        file = Path(given.run)  # a copy of a results.jsonl may have another name
        folder, records = read_run(file if file.is_file() else find_run(given.run, given.runs_dir))
        trials = read_trials(folder).trials if records else []
    except RunError as error:
        raise BadInput(str(error)) from error
    verdict = _verdict(folder / VERDICT)
    several = len(trials) > 1 or given.json
    summary = means.summarize_run(folder, records, trials, verdict, Rules()) if several else None
    if given.json:
        print(msgspec.json.format(msgspec.json.encode(summary)).decode())
        return 0
    if records:
        print("\n".join((_markdown if given.markdown else _text)(records, summary, verdict)))
    tell_missing(folder, records)
    return 0


def _verdict(file: Path) -> verdicts.Compared | None:
    """Return the comparison with the baseline of `pytest --baseline`, if the run had one. Raise `BadInput`."""
    if not file.exists():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=verdicts.Compared)
    except MALFORMED as error:
        raise BadInput(f"{file}: not a comparison of this version of Proctor: {error}; remove the file") from error


def _text(
    records: Sequence[Record], summary: means.RunSummary | None, verdict: verdicts.Compared | None
) -> Iterator[str]:
    yield from table(records)
    if summary:
        yield from means.lines(summary)
    if verdict:
        yield from ["", *verdicts.lines(verdict)]


def _markdown(
    records: Sequence[Record], summary: means.RunSummary | None, verdict: verdicts.Compared | None
) -> Iterator[str]:
    if verdict:
        yield from [*verdicts.markdown_lines(verdict), ""]
    yield from markdown(records)
    if summary:
        yield from means.markdown_lines(summary)


def tell_missing(folder: Path, records: Sequence[Record]) -> None:
    """Name the cases that the run planned but did not record."""
    missing = unrecorded(folder, records)
    if missing:
        recorded = len(records) - sum(record.try_number > 1 for record in records)
        print(f"\n{len(missing)} of {len(missing) + recorded} cases have no record: {', '.join(missing)}")
