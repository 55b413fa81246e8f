"""`proctor compare`: says what changed between runs, and whether it is worse."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from harness.baseline import compare_runs, read_baseline
from harness.commands.errors import BadInput
from harness.report.verdicts import lines, markdown_lines
from harness.results.references import find_run
from harness.results.runs import RunError
from harness.verdict.reading import read_trials
from harness.verdict.rules import Rules

_REFERENCES = """\
A run is one of these:
  runs/20261126T010000.000Z-nightly    its folder, the folder's name, or its results.jsonl
  last                                 the newest run; as BASE, the same as last:1
  last:N                               as BASE: the N newest runs of NEW's suite besides NEW, together
  tag:NAME                             the run that `proctor tag RUN NAME` named

Exit status: 0, or 1 if anything is worse or nothing could be compared, or 2 for bad input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor compare`."""
    rules = Rules()
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _REFERENCES
    parser.add_argument("base", metavar="BASE", help="the baseline: one run or several")
    parser.add_argument("new", metavar="NEW", help="the run to judge")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print everything as JSON")
    form.add_argument("--markdown", action="store_true", help="print Markdown, for the page of a CI job")
    parser.add_argument(
        "--fail-on",
        choices=("worse", "nothing"),
        default="worse",
        help="exit with 1 if anything is worse or nothing could be compared (default), or never",
    )
    parser.add_argument(
        "--allow-drift",
        action="append",
        default=[],
        metavar="KEY",
        help="compare although this condition differs, and say so; repeatable",
    )
    parser.add_argument(
        "--false-discovery",
        type=_share,
        default=rules.false_discovery,
        metavar="SHARE",
        help=f"how many nights without a change may have a false alarm (default: {rules.false_discovery})",
    )
    parser.add_argument(
        "--margin",
        type=_share,
        default=rules.margin,
        metavar="SHARE",
        help=f"a difference in solve rate that does not matter (default: {rules.margin})",
    )


def run(given: argparse.Namespace) -> int:
    """Print the verdicts. Return 1 if anything is worse or nothing could be compared. Raise `BadInput`."""
    rules = Rules(false_discovery=given.false_discovery, margin=given.margin, allow=frozenset(given.allow_drift))
    try:
        new = find_run(given.new, given.runs_dir)
        baseline = read_baseline(given.base, given.runs_dir, besides=new, rules=rules)
        compared = compare_runs(baseline, read_trials(new))
    except RunError as error:
        raise BadInput(str(error)) from error
    if given.json:
        print(msgspec.json.format(msgspec.json.encode(compared)).decode())
    else:
        print("\n".join((markdown_lines if given.markdown else lines)(compared)))
    return int(given.fail_on == "worse" and compared.alarming)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1, such as 0.05")
    return share
