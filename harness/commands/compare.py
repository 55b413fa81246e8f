"""`proctor compare`: says what changed between runs, and whether it is worse."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from harness.commands.errors import BadInput
from harness.report.verdicts import CaseFolders, Compared, lines, markdown_lines
from harness.results.references import find_runs
from harness.results.runs import RunError
from harness.verdict.conditions import UNRECORDED
from harness.verdict.gate import compare
from harness.verdict.reading import RunTrials, read_trials, require_distinct
from harness.verdict.rules import Rules

_REFERENCES = """\
A run is one of these:
  runs/20261126T010000.000Z-nightly    its folder, or its results.jsonl
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
    try:
        found = find_runs(given.new, given.runs_dir)
        if len(found) > 1:
            raise BadInput(f"{given.new}: NEW must be one run, and these are {len(found)}")
        before = find_runs(given.base, given.runs_dir, besides=found)
        if found[0] in before:
            raise BadInput(f"{given.base} and {given.new} are the same run, {found[0].name}")
        new, base = read_trials(found[0]), [read_trials(folder) for folder in before]
        require_distinct([*base, new])
    except RunError as error:
        raise BadInput(str(error)) from error
    rules = Rules(
        false_discovery=given.false_discovery, margin=given.margin, allow=_allowed(given.allow_drift, [*base, new])
    )
    compared = _compared(base, new, rules)
    if given.json:
        print(msgspec.json.format(msgspec.json.encode(compared)).decode())
    else:
        print("\n".join((markdown_lines if given.markdown else lines)(compared)))
    return int(given.fail_on == "worse" and bool(compared.worse or compared.nothing_compared))


def _compared(base: Sequence[RunTrials], new: RunTrials, rules: Rules) -> Compared:
    keys = sorted({key for one in (*base, new) for key in one.folders})
    return Compared(
        base=[_shown(one.folder) for one in base],
        new=_shown(new.folder),
        notes=[note for one in (*base, new) for note in _notes(one)],
        rules=rules,
        comparisons=compare([trial for one in base for trial in one.trials], new.trials, rules),
        folders={
            str(key): CaseFolders(
                base=[_shown(path) for one in base for path in one.folders.get(key, [])],
                new=[_shown(path) for path in new.folders.get(key, [])],
            )
            for key in keys
        },
    )


def _notes(one: RunTrials) -> list[str]:
    notes = []
    if one.running:
        notes.append(f"{_shown(one.folder)} is still running: its results so far were used")
    if one.unrecorded:
        notes.append(f"{_shown(one.folder)} lacks records of planned cases: {', '.join(one.unrecorded)}")
    return notes


def _allowed(keys: Sequence[str], runs: Iterable[RunTrials]) -> frozenset[str]:
    known = {UNRECORDED, *(name for one in runs for trial in one.trials for name in trial.conditions)}
    for key in keys:
        if key not in known:
            raise BadInput(f"--allow-drift {key}: no such condition; choose from {', '.join(sorted(known))}")
    return frozenset(keys)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1, such as 0.05")
    return share


def _shown(path: Path) -> str:
    """Return a path as short as it can be from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
