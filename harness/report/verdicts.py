"""The report of a comparison: regressions first, then a table for each other verdict, then the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.malformed import MALFORMED
from harness.report.summary import escape
from harness.results.runs import RunError
from harness.verdict.comparison import Comparison, Verdict
from harness.verdict.rules import Rules
from harness.verdict.trials import Measure
from harness.verdict.wording import seen

NAMES = {
    Measure.SOLVE_RATE: "solve rate",
    Measure.COST: "cost $",
    Measure.TURNS: "turns",
    Measure.TOKENS: "tokens",
    Measure.SECONDS: "seconds",
}
FORMS = {
    Measure.SOLVE_RATE: ".2f",
    Measure.COST: ".4f",
    Measure.TURNS: ".1f",
    Measure.TOKENS: ",.0f",
    Measure.SECONDS: ".1f",
}

_TABLES = (
    Verdict.INCOMPARABLE,
    Verdict.BETTER,
    Verdict.NEW,
    Verdict.GONE,
    Verdict.INCONCLUSIVE,
    Verdict.SAME,
)
"""The verdicts that get a table, in order. What is worse stands above, at length."""

_UNTESTED = frozenset({Verdict.INCOMPARABLE, Verdict.NEW, Verdict.GONE})

_HEAD = ("what", "measure", "before", "now", "why")


class CaseFolders(Struct, frozen=True):
    """The folders of a case in the baseline and in the new run, oldest first."""

    base: list[str]
    new: list[str]


class Compared(Struct, frozen=True, kw_only=True):
    """A comparison of runs, as `--json` prints it.

    `base` and `new` are the folders of the runs. `folders` are those of each case, by its name. `notes` say what the
    reader must know of the runs, for instance that one was not finished.
    """

    base: list[str]
    new: str
    notes: list[str]
    rules: Rules
    comparisons: list[Comparison]
    folders: Mapping[str, CaseFolders]

    @property
    def worse(self) -> list[Comparison]:
        """Everything that is worse."""
        return self.having(Verdict.WORSE)

    @property
    def nothing_compared(self) -> bool:
        """Whether no case could be tested: none was graded in both runs under the same conditions."""
        return all(one.evidence is None for one in self.comparisons if one.level == "case")

    @property
    def alarming(self) -> bool:
        """Whether anything is worse, or nothing could be compared."""
        return bool(self.worse) or self.nothing_compared

    def having(self, verdict: Verdict) -> list[Comparison]:
        """Return what has this verdict. If nothing was tested, the cases say it all. Groups are left out then."""
        found = [one for one in self.comparisons if one.verdict is verdict]
        return [one for one in found if one.level == "case"] if verdict in _UNTESTED else found


def read_verdict(file: Path) -> Compared:
    """Return the comparison in a `verdict.json`. Raise `RunError` if the file is damaged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Compared)
    except MALFORMED as error:
        raise RunError(f"{file}: not a comparison of this version of Proctor: {error}; remove the file") from error


def lines(compared: Compared) -> list[str]:
    """Return the report as lines of text."""
    found = [f"  {line}" for line in regression_lines(compared)]
    told = [*_heading(compared), *(["", "regressions:", *found] if found else []), *_tables(compared)]
    return [*told, "", *counts(compared)]


def summary_lines(compared: Compared) -> list[str]:
    """Return the report as lines of text, without the regressions."""
    return [*_heading(compared), *_tables(compared), "", *counts(compared)]


def regression_lines(compared: Compared) -> list[str]:
    """Return what is worse, as lines of text: the numbers, the test, and the folders to open."""
    told = []
    for one in compared.worse:
        told += [headline(one), *(f"  {detail}" for detail in _details(one, compared))]
    return told


def markdown_lines(compared: Compared) -> list[str]:
    """Return the report as lines of Markdown, for the page of a CI job."""
    told = [f"**{escape(counts(compared)[0])}**", ""]
    told += [escape(f"{compared.new} against {_runs(compared.base)}")]
    told += ["", *(f"- {escape(note)}" for note in compared.notes)] if compared.notes else []
    if compared.worse:
        told += ["", "### Regressions", ""]
    for one in compared.worse:
        told += [f"- **{escape(headline(one))}**", *(f"  - {escape(detail)}" for detail in _details(one, compared))]
    for verdict in _TABLES:
        rows = _rows(compared, verdict)
        if rows:
            told += [
                "",
                f"### {str(verdict).capitalize()}",
                "",
                _cells(_HEAD),
                "|---|---|--:|--:|---|",
                *map(_cells, rows),
            ]
    return [*told, "", *(f"- {escape(count)}" for count in counts(compared)[1:])]


def headline(one: Comparison) -> str:
    """Return what was compared, and both means."""
    before, now = _means(one)
    programs = f"programs: {one.base.programs} before, {one.new.programs} now"
    return f"{one.level} {one.name}: {NAMES[one.measure]} {before} → {now} ({programs})"


def _heading(compared: Compared) -> list[str]:
    return [f"{compared.new} against {_runs(compared.base)}", *(f"note: {note}" for note in compared.notes)]


def _tables(compared: Compared) -> list[str]:
    told = []
    for verdict in _TABLES:
        rows = _rows(compared, verdict)
        if rows:
            widths = [max(len(row[column]) for row in (_HEAD, *rows)) for column in range(len(_HEAD))]
            told += ["", f"{verdict}:", *(_line(row, widths) for row in (_HEAD, *rows))]
    return told


def _details(one: Comparison, compared: Compared) -> list[str]:
    """Return why a comparison is worse, what it could have seen, and where to look."""
    told = [_why(one)]
    if one.evidence:
        told.append(seen(one.evidence, one.measure, compared.rules))
    if one.lost or one.won:
        told.append(f"episodes lost: {_numbers(one.lost)}; won: {_numbers(one.won)}")
    folders = compared.folders.get(one.name) if one.level == "case" else None
    if folders:
        told += [f"now: {folder}" for folder in folders.new]
        told += [f"before: {folder}" for folder in folders.base[-1:]]
    return told


def _rows(compared: Compared, verdict: Verdict) -> list[tuple[str, ...]]:
    """Return the rows of a verdict's table. Costs are only listed where they got better; the counts have the rest."""
    return [
        (f"{one.level} {one.name}", NAMES[one.measure], *_means(one), _why(one))
        for one in compared.having(verdict)
        if one.measure is Measure.SOLVE_RATE or verdict is Verdict.BETTER
    ]


def _means(one: Comparison) -> tuple[str, str]:
    form = FORMS[one.measure]
    before, now = ("-" if side.mean is None else format(side.mean, form) for side in (one.base, one.new))
    return before, now


def _why(one: Comparison) -> str:
    """Return the reason of a verdict and everything that limits it."""
    told = [one.reason]
    if one.drift:
        told.append("allowed to differ: " + ", ".join(map(str, one.drift)))
    if one.left_out and not one.differing:
        told.append(f"{one.left_out} replicates of the baseline left out: other conditions")
    if one.bounds:
        told.append(f"with the missing replicates, the difference is from {one.bounds[0]:+.2f} to {one.bounds[1]:+.2f}")
    return "; ".join(told)


def counts(compared: Compared) -> list[str]:
    """Return a line with the number of regressions, and one for each measure."""
    worse = compared.worse
    cases = sum(one.level == "case" for one in worse)
    first = f"worse: {_many(cases, 'case')}, {_many(len(worse) - cases, 'group')}"
    if compared.nothing_compared:
        first = "nothing was compared: no case was graded in both runs under the same conditions"
    return [first, *(line for measure in Measure for line in _count(compared.comparisons, measure))]


def _count(comparisons: Iterable[Comparison], measure: Measure) -> list[str]:
    """Return the number of cases with each verdict by this measure."""
    found = Counter(one.verdict for one in comparisons if one.level == "case" and one.measure is measure)
    counts = ", ".join(f"{found[verdict]} {verdict}" for verdict in Verdict if found[verdict])
    return [f"cases by {NAMES[measure]}: {counts}"] if counts else []


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _runs(base: Sequence[str]) -> str:
    return base[0] if len(base) == 1 else f"{len(base)} runs, from {base[0]} to {base[-1]}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Return a row of a table. Numbers are aligned to the right."""
    cells = zip(row, widths, (str.ljust, str.ljust, str.rjust, str.rjust, str.ljust), strict=True)
    return f"  {'  '.join(align(cell, width) for cell, width, align in cells)}".rstrip()


def _cells(row: Iterable[str]) -> str:
    return f"| {' | '.join(map(escape, row))} |"
