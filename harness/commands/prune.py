"""`proctor prune`: removes old or large runs, or the folders of cases with an outcome."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.commands.arguments import age, number_of_runs, size
from harness.commands.errors import BadInput
from harness.results.history import refresh
from harness.results.history_index import INDEX, HistoryError
from harness.results.pruning import Prunable, PruneError, PruneRules, plan, prune
from harness.visible import visible

_RULES = """\
--older-than, --larger-than and --keep choose the runs: a run must match all that are given. Without --outcome, the
runs are removed whole. With --outcome, the runs and their records stay, and only folders of cases are removed.

Nothing is removed without --delete. The newest run, runs with a tag, and runs that a process is writing always stay.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor prune`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _RULES
    parser.add_argument("--older-than", type=age, metavar="AGE", help="runs that began longer ago: 12h, 30d or 8w")
    parser.add_argument("--larger-than", type=size, metavar="SIZE", help="runs that take more space: 500MB, 5GB, 2GiB")
    parser.add_argument("--keep", type=number_of_runs, metavar="N", help="not the N newest runs with records")
    parser.add_argument(
        "--outcome",
        choices=("passed", "failed", "error", "skipped"),
        help="only the folders of cases with this outcome; the records stay",
    )
    parser.add_argument("--delete", action="store_true", help="remove them; otherwise only print what would go")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")


def run(given: argparse.Namespace) -> int:
    """Print what goes, and remove it if the user says so. Return 1 if something could not be removed.

    Raise `BadInput` if no rule is given.
    """
    rules = PruneRules(
        older_than=given.older_than, larger_than=given.larger_than, keep=given.keep, outcome=given.outcome
    )
    if rules == PruneRules():
        raise BadInput("say what may go: --older-than, --larger-than, --keep or --outcome")
    now = datetime.now(UTC)
    pruning = plan(given.runs_dir, rules, now)
    for line in _table(pruning.prunable, now):
        print(line)
    for name, reason in pruning.kept.items():
        print(f"stays: {visible(name)}: {visible(reason)}")
    if not pruning.prunable:
        print("Nothing matches.")
        return 0
    total = shown_size(sum(one.size for one in pruning.prunable))
    if not given.delete:
        print(f"In all: {total}. Nothing was removed. Add --delete to remove it.")
        return 0
    sys.stdout.flush()
    return _delete(pruning.prunable, given.runs_dir)


def shown_size(count: int) -> str:
    """Return a number of bytes for people: `512 B`, `5.2 GB`."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:  # otherwise it would be shown as 1000.0
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def _delete(prunable: Sequence[Prunable], runs: Path) -> int:
    """Remove everything, bring the index of the history up to date, and print what was removed."""
    removed, status = 0, 0
    for one in prunable:
        try:
            prune(one, runs)
        except PruneError as error:
            print(f"proctor prune: {visible(str(error))}", file=sys.stderr)
            status = 1
        else:
            removed += one.size
    if (runs / INDEX).exists():
        try:
            refresh(runs)
        except HistoryError as error:  # `proctor history` makes up for it
            print(f"proctor prune: the history is not up to date: {error}", file=sys.stderr)
    print(f"Removed: {shown_size(removed)}.")
    return status


def _table(prunable: Sequence[Prunable], now: datetime) -> list[str]:
    rows = [(visible(one.run.name), _ago(one.began, now), shown_size(one.size), one.what) for one in prunable]
    head = ("run", "began", "size", "what goes")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        f"{name:<{widths[0]}}  {began:<{widths[1]}}  {space:>{widths[2]}}  {what}"
        for name, began, space, what in ((head, *rows) if rows else ())
    ]


def _ago(began: datetime | None, now: datetime) -> str:
    if began is None:
        return "-"
    hours = max(0, int((now - began).total_seconds() // 3600))
    count, unit = (hours // 24, "day") if hours >= 24 else (hours, "hour")
    return f"{count} {unit}{'' if count == 1 else 's'} ago"
