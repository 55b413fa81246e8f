"""`proctor merge`: joins the results of several runs."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from harness.commands.errors import BadInput
from harness.commands.report import tell_missing
from harness.report.table import table
from harness.results.history import refresh
from harness.results.history_index import INDEX, HistoryError
from harness.results.merge import merge, merged_name
from harness.results.runs import RunError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor merge`."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="the folder of a run")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="default: runs/TIME-SUITE-merged")


def run(given: argparse.Namespace) -> int:
    """Join runs in a new folder and print the table. Raise `BadInput`."""
    folder = given.into or Path("runs") / merged_name(given.runs)
    try:
        records = merge(given.runs, folder)
    except RunError as error:
        raise BadInput(str(error)) from error
    print("\n".join([*table(records), f"records: {folder / 'results.jsonl'}"]))
    tell_missing(folder, records)
    removed = [one.artifacts for one in records if one.artifacts is not None and not (folder / one.artifacts).exists()]
    if removed:
        print(f"\n{len(removed)} of {len(records)} records are without a folder: {', '.join(removed)}")
    if given.into is None or (folder.parent / INDEX).exists():  # no index where nobody keeps runs
        with suppress(HistoryError):  # `proctor history` makes up for it
            refresh(folder.parent)
    return 0
