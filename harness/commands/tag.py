"""`proctor tag`: gives a run a name, so that later runs can be compared with it."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.errors import BadInput
from harness.results.references import find_run, tag_run
from harness.results.runs import RunError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor tag`."""
    parser.add_argument("run", metavar="RUN", help="the run's folder or name, its results.jsonl, last or tag:NAME")
    parser.add_argument("name", metavar="NAME", help="the tag; it moves if another run has it")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")


def run(given: argparse.Namespace) -> int:
    """Give a run a tag and print it. Raise `BadInput`."""
    try:
        found = find_run(given.run, given.runs_dir)
        tag_run(found, given.name, given.runs_dir)
    except RunError as error:
        raise BadInput(str(error)) from error
    print(f"tag:{given.name} is now {found.name}")
    return 0
