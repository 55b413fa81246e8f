"""`proctor export`: writes a run in the forms that other tools read: tables, trajectories, logs and spans."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.errors import BadInput
from harness.exports.files import write_csv, write_parquet
from harness.exports.reading import RunError, named_runs, read_table
from harness.lazy import LazyModule
from harness.results.record import Record
from harness.results.runs import read_run
from harness.results.store import unrecorded

if TYPE_CHECKING:
    from harness.commands import chosen
    from harness.exports import atif, cases, inspect_log, otlp
else:  # tables need none of them
    chosen = LazyModule("harness.commands.chosen")
    atif = LazyModule("harness.exports.atif")
    cases = LazyModule("harness.exports.cases")
    inspect_log = LazyModule("harness.exports.inspect_log")
    otlp = LazyModule("harness.exports.otlp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor export`."""
    parser.add_argument(
        "run", metavar="RUN", help="the run's folder or name, its results.jsonl, last, last:N or tag:NAME"
    )
    parser.add_argument(
        "case", metavar="CASE", nargs="?", help="only this case, by its id or a part of it (not for tables)"
    )
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--csv", type=Path, metavar="FILE", help="write a table as CSV")
    form.add_argument("--parquet", type=Path, metavar="FILE", help="write a table as Parquet, by pyarrow")
    form.add_argument("--atif", type=Path, metavar="FOLDER", help="write a trajectory for each case, as ATIF")
    form.add_argument("--inspect", type=Path, metavar="FILE.eval", help="write a log for Inspect")
    form.add_argument("--otel", type=Path, metavar="FILE", help="write OpenTelemetry spans, as lines of OTLP JSON")
    form.add_argument("--otlp", metavar="URL", help="send OpenTelemetry spans to a service, by OTLP over HTTP")
    parser.add_argument("--episodes", action="store_true", help="a row for each episode instead of each record")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")


def run(given: argparse.Namespace) -> int:
    """Write what was asked for, and say on standard error how much it is. Raise `BadInput`."""
    try:
        told = _table(given) if given.csv or given.parquet else _transcripts(given)
    except (RunError, ImportError, otlp.OtlpError) as error:
        raise BadInput(str(error)) from error
    print(told, file=sys.stderr)
    return 0


def _table(given: argparse.Namespace) -> str:
    if given.case is not None:
        raise BadInput("a table has all cases: leave out CASE")
    table = read_table(given.run, given.runs_dir, of_episodes=given.episodes)
    write, file = (write_csv, given.csv) if given.csv else (write_parquet, given.parquet)
    write(table, file)
    return f"{file}: {len(table.rows)} rows"


def _transcripts(given: argparse.Namespace) -> str:
    """Write what is made of transcripts, and return a sentence about it."""
    if given.episodes:
        raise BadInput("--episodes is for tables: use it with --csv or --parquet")
    found = named_runs(given.run, given.runs_dir)
    if len(found) != 1:
        raise BadInput(f"{given.run} names {len(found)} runs: choose one")
    folder, records = read_run(found[0])
    picked: Sequence[Record] = [chosen.chosen(records, given.case, folder)] if given.case is not None else records
    if given.inspect:
        stopped = given.case is None and bool(unrecorded(folder, records))
        return _inspect(folder, picked, given.inspect, stopped=stopped)
    exported = cases.exported_cases(folder, picked)
    if given.atif:
        return _trajectories(exported, given.atif)
    if given.otel:
        otlp.write_spans(exported, given.otel)
        return f"{given.otel}: the spans of {len(picked)} cases"
    otlp.send_spans(exported, given.otlp)
    return f"{given.otlp}: the spans of {len(picked)} cases"


def _trajectories(exported: Iterable[cases.ExportedCase], folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    files = 0
    for case in exported:
        there = len(atif.write_trajectories(case, folder))
        files += there
        if not there:
            print(f"{case.name}: no trajectory: {case.missing or 'nothing happened'}", file=sys.stderr)
    return f"{folder}: {files} trajectories"


def _inspect(folder: Path, records: Sequence[Record], file: Path, *, stopped: bool) -> str:
    if file.suffix != ".eval":
        raise BadInput(f"{file}: Inspect reads only files whose names end in .eval")
    if all(record.outcome == "skipped" for record in records):
        raise BadInput(f"{folder}: every case was skipped, so there is nothing to write")
    return f"{file}: {inspect_log.write_log(folder, records, file, stopped=stopped)} samples"
