"""`proctor export`: writes the records or the episodes of a run as a table that other tools read."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands.errors import BadInput
from harness.exports.files import write_csv, write_parquet
from harness.exports.reading import RunError, read_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor export`."""
    parser.add_argument(
        "run", metavar="RUN", help="the run's folder or name, its results.jsonl, last, last:N or tag:NAME"
    )
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--csv", type=Path, metavar="FILE", help="write a table as CSV")
    form.add_argument("--parquet", type=Path, metavar="FILE", help="write a table as Parquet, by pyarrow")
    parser.add_argument("--episodes", action="store_true", help="a row for each episode instead of each record")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")


def run(given: argparse.Namespace) -> int:
    """Write the table, and say on standard error how many rows it has. Raise `BadInput`."""
    try:
        table = read_table(given.run, given.runs_dir, of_episodes=given.episodes)
        write, file = (write_csv, given.csv) if given.csv else (write_parquet, given.parquet)
        write(table, file)
    except (RunError, ImportError) as error:
        raise BadInput(str(error)) from error
    print(f"{file}: {len(table.rows)} rows", file=sys.stderr)
    return 0
