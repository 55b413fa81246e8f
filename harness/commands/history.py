"""`proctor history`: shows how cases, backends, models, environments and suites went over time."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from harness.commands.arguments import number_of_runs
from harness.commands.errors import BadInput
from harness.lazy import LazyModule
from harness.report.trends import can_draw, overview_lines, series_lines
from harness.results.claims import is_running
from harness.results.history import KINDS, History, PastRun, consult, rebuild
from harness.results.history_index import HistoryError
from harness.results.references import tags_of
from harness.results.run_folder import RESULTS
from harness.verdict.series import Point, Series, overview, series_of, without_parts

if TYPE_CHECKING:
    import csv
    import difflib
else:  # few calls need them
    csv = LazyModule("csv")
    difflib = LazyModule("difflib")

_NAMES = """\
A NAME is a case, a backend, a model, an environment or a suite. The id of a single replicate is a case, too.
If a name is several of these, write which one is meant: case:NAME, backend:NAME, model:NAME, environment:NAME or
suite:NAME. Without a name, print one line for each suite and for each of its cases.
"""

_FEW = 12


class _Found(Struct, frozen=True):
    """What was asked for, and its runs. An overview has no `kind`, and all runs."""

    kind: str | None
    name: str
    runs: list[PastRun]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor history`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _NAMES
    parser.add_argument("name", metavar="NAME", nargs="?", help="default: an overview")
    parser.add_argument("--suite", metavar="NAME", help="only runs of this suite")
    parser.add_argument("--last", type=number_of_runs, metavar="N", help="only the N newest runs")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print everything as JSON")
    form.add_argument("--csv", action="store_true", help="print one line for each run, for a spreadsheet")
    parser.add_argument(
        "--rebuild", action="store_true", help="first make the index again from the folders of the runs"
    )


def run(given: argparse.Namespace) -> int:
    """Print the history. Raise `BadInput`."""
    try:
        notes = rebuild(given.runs_dir) if given.rebuild else []
        found, more = consult(given.runs_dir, lambda history: _find(history, given))
    except HistoryError as error:
        raise BadInput(str(error)) from error
    runs, parts = without_parts(found.runs)
    tags = tags_of(given.runs_dir)
    asked = None if found.kind is None else series_of(found.kind, found.name, runs, tags, given.last)
    suites = [[asked]] if asked else overview(runs, tags, given.last)
    series = [one for suite in suites for one in suite]
    notes += [
        note
        for note in [*more, *_notes(runs, parts, asked), *_unfinished(given.runs_dir, runs, series)]
        if note not in notes
    ]
    if given.json:
        print(msgspec.json.format(msgspec.json.encode({"notes": notes, "series": series})).decode())
        return 0
    if given.csv:
        _write_csv(series)
    else:
        width = _width()
        shown = [series_lines(asked, width=width)] if asked else [overview_lines(one, width=width) for one in suites]
        print("\n\n".join(map("\n".join, shown)))
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return 0


def _find(history: History, given: argparse.Namespace) -> _Found:
    """Return the runs that were asked for. Raise `BadInput` if there are none."""
    if given.suite is not None and "suite" not in history.kinds_of(given.suite):
        _require_records(history, given)
        raise BadInput(f"--suite {given.suite}: {_unknown(given.suite, {'suite': history.names()['suite']})}")
    if given.name is None:
        _require_records(history, given)
        return _Found(None, "", history.runs(suite=given.suite))
    kind, name = _meant(history, given)
    runs = history.runs(kind, name, suite=given.suite)
    if not runs:
        raise BadInput(f"{kind} {name} is in no run of suite {given.suite}: leave out --suite, or name another one")
    return _Found(kind, name, runs)


def _meant(history: History, given: argparse.Namespace) -> tuple[str, str]:
    """Return the kind of the name, and the name without a prefix. Raise `BadInput` if it is not one known name."""
    prefix, colon, rest = given.name.partition(":")
    kinds = history.kinds_of(given.name)
    if not kinds and colon and prefix in KINDS:
        if prefix in history.kinds_of(rest):
            return prefix, rest
        _require_records(history, given)
        raise BadInput(f"{given.name}: {_unknown(rest, {prefix: history.names()[prefix]})}")
    if not kinds:
        _require_records(history, given)
        raise BadInput(f"{given.name}: {_unknown(given.name, history.names())}")
    if len(kinds) > 1:
        forms = " or ".join(f"{kind}:{given.name}" for kind in kinds)
        raise BadInput(f"{given.name} can mean {forms}: write which one")
    return kinds[0], given.name


def _require_records(history: History, given: argparse.Namespace) -> None:
    """Raise `BadInput` if there is no record at all. Then no name can be right."""
    if history.is_empty():
        raise BadInput(
            f"{given.runs_dir} holds no run with records: run some cases first, or name another folder with --runs-dir"
        )


def _unknown(name: str, names: dict[str, list[str]]) -> str:
    """Return that no record has this name, and the names that are like it, or all if they are few."""
    kinds = defaultdict[str, list[str]](list)
    for kind, known in names.items():
        for one in known:
            kinds[one].append(kind)
    close = difflib.get_close_matches(name, kinds)
    nothing = f"no record has this {' or '.join(names) if len(names) == 1 else 'name'}"
    if close:
        meant = (f"{one} ({', '.join(kinds[one])})" for one in close)
        return f"{nothing}; did you mean {' or '.join(meant)}?"
    if len(kinds) <= _FEW:
        return f"{nothing}; known are {', '.join(sorted(kinds))}"
    return f"{nothing}; `proctor history` lists the cases"


def _notes(runs: Iterable[PastRun], parts: Sequence[str], asked: Series | None) -> list[str]:
    """Return what one must know to read the history right."""
    notes = []
    suites = sorted({point.suite or "no suite" for point in asked.points}) if asked else []
    if len(suites) > 1:
        notes.append(f"the runs are of several suites ({', '.join(suites)}): choose one with --suite")
    if parts:
        notes.append(f"left out, because another run holds the same sessions: {', '.join(parts)}")
    unreadable = [(past.run.name, past.run.unreadable) for past in runs if past.run.unreadable]
    notes += [f"{name}: left out what is not a record in {RESULTS} (lines: {count})" for name, count in unreadable]
    return notes


def _unfinished(folder: Path, runs: Iterable[PastRun], series: Iterable[Series]) -> list[str]:
    """Return which of the runs that are shown have not recorded all their planned cases."""
    shown = {point.run for one in series for point in one.points}
    return [
        f"{past.run.name} {'is still running' if is_running(folder / past.run.name) else 'was stopped'}: "
        f"planned cases without a record: {past.run.unrecorded}"
        for past in runs
        if past.run.unrecorded and past.run.name in shown
    ]


def _write_csv(series: Iterable[Series]) -> None:
    """Print a line for each point. What is not known is an empty field."""
    fields = Point.__struct_fields__
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["kind", "name", *fields])
    for one in series:
        for point in one.points:
            values = (getattr(point, field) for field in fields)
            writer.writerow([one.kind, one.name, *(" ".join(v) if isinstance(v, tuple) else v for v in values)])


def _width() -> int | None:
    """Return the width of the terminal, or `None` if no sparkline can be drawn there."""
    if not sys.stdout.isatty() or not can_draw(sys.stdout.encoding):
        return None
    return shutil.get_terminal_size().columns
