"""`proctor report`: prints the results of a finished run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness.commands.errors import BadInput
from harness.lazy import LazyModule
from harness.page.library_files import LibrariesMissing
from harness.report.summary import markdown
from harness.report.table import table
from harness.results.record import Record
from harness.results.references import find_runs
from harness.results.run_folder import VERDICT
from harness.results.runs import RunError, read_run
from harness.results.store import unrecorded
from harness.verdict.reading import read_trials
from harness.verdict.rules import Rules

if TYPE_CHECKING:
    from harness.page import make
    from harness.report import means, verdicts
else:  # they need SciPy
    make = LazyModule("harness.page.make")
    means = LazyModule("harness.report.means")
    verdicts = LazyModule("harness.report.verdicts")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor report`."""
    parser.add_argument(
        "run", nargs="+", metavar="RUN", help="the run's folder or name, its results.jsonl, last or tag:NAME"
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print everything as JSON")
    form.add_argument("--markdown", action="store_true", help="print a summary in Markdown, for the page of a CI job")
    form.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page of all these runs, with their transcripts"
    )


def run(given: argparse.Namespace) -> int:
    """Print the table of a run and the means over replicates, or write the page of runs. Raise `BadInput`."""
    try:
        runs = [run for reference in given.run for run in _named(reference, given.runs_dir)]
    except RunError as error:
        raise BadInput(str(error)) from error
    if given.html is not None:
        return _write_page(given.html, runs)
    if len(runs) > 1:
        raise BadInput("only --html FILE takes several runs; `proctor compare` compares two")
    try:
        folder, records = read_run(runs[0])
        trials = read_trials(folder).trials if records else []
        verdict = verdicts.read_verdict(folder / VERDICT) if (folder / VERDICT).exists() else None
    except RunError as error:
        raise BadInput(str(error)) from error
    several = len(trials) > 1 or given.json
    summary = means.summarize_run(folder, records, trials, verdict, Rules()) if several else None
    if given.json:
        print(msgspec.json.format(msgspec.json.encode(summary)).decode())
        return 0
    if records:
        print("\n".join((_markdown if given.markdown else _text)(records, summary, verdict)))
    tell_missing(unrecorded(folder, records), sum(record.try_number == 1 for record in records))
    return 0


def _named(reference: str, runs: Path) -> list[Path]:
    """Return the runs that a reference names. A copy of a `results.jsonl` may have another name."""
    return [Path(reference)] if Path(reference).is_file() else find_runs(reference, runs)


def _write_page(file: Path, runs: Sequence[Path]) -> int:
    try:
        print(make.make_page(file, runs))
    except (RunError, LibrariesMissing) as error:
        raise BadInput(str(error)) from error
    return 0


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


def tell_missing(missing: Sequence[str], recorded: int) -> None:
    """Name the cases that the run planned but did not record, beside the number of sessions that it did record."""
    if missing:
        print(f"\n{len(missing)} of {len(missing) + recorded} cases have no record: {', '.join(missing)}")
