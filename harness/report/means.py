"""The means of a run over replicates: for each case that has several, and for each group of cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from harness.endings import ENDINGS, Ending
from harness.report.summary import escape
from harness.report.verdicts import FORMS, NAMES, Compared
from harness.results.record import Record
from harness.results.store import unrecorded
from harness.verdict.conditions import changes
from harness.verdict.rules import Rules
from harness.verdict.summaries import CaseSummary, Estimate, GroupMean, GroupSummary, summarize_cases, summarize_groups
from harness.verdict.trials import Measure, Trial, by_case

_USAGE = (Measure.COST, Measure.TURNS, Measure.TOKENS, Measure.SECONDS)
_MANY = 2


class RunSummary(Struct, frozen=True, kw_only=True):
    """What `proctor report --json` prints of a run.

    `run` is its folder. `notes` say what the reader must know of the means. `most_missing` is the share of missing
    replicates beyond which a case is inconclusive. `cases` and `groups` leave out the cases that this machine could not
    run; `records` has them. `verdict` is the comparison with the baseline of the run, if it had one. `unrecorded` names
    the planned cases without a record.
    """

    run: str
    notes: list[str]
    most_missing: float
    cases: list[CaseSummary]
    groups: list[GroupSummary]
    verdict: Compared | None
    unrecorded: list[str]
    records: list[Record]


class _Grid(Struct, frozen=True):
    """A table with a title. The first column is text, and so is the last one if `ends_in_text`."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    ends_in_text: bool = True

    @property
    def numbers(self) -> range:
        """The columns that hold numbers."""
        return range(1, len(self.head) - self.ends_in_text)


def summarize_run(
    folder: Path, records: Sequence[Record], trials: Sequence[Trial], verdict: Compared | None, rules: Rules
) -> RunSummary:
    """Return everything that is known of a run.

    Replicates that were added to a case do not count in its groups: it got them because its first ones were bad.
    """
    ran = [trial for trial in trials if not trial.missing or ENDINGS[Ending(trial.ending)].outcome != "skipped"]
    planned = [trial for trial in ran if not trial.added]
    return RunSummary(
        run=str(folder),
        notes=_mixed(ran),
        most_missing=rules.missing,
        cases=summarize_cases(ran, rules),
        groups=summarize_groups(planned) if planned else [],
        verdict=verdict,
        unrecorded=unrecorded(folder, records),
        records=list(records),
    )


def lines(summary: RunSummary) -> list[str]:
    """Return the means as lines of text. There are none for a run of one case and one replicate."""
    told = [line for grid in _grids(summary) for line in ["", f"{grid.title}:", *_aligned(grid)]]
    return told + [f"note: {note}" for note in summary.notes if told]


def markdown_lines(summary: RunSummary) -> list[str]:
    """Return the means as lines of Markdown."""
    told = [line for grid in _grids(summary) for line in ["", f"### {escape(grid.title)}", "", *_piped(grid)]]
    return told + [line for note in summary.notes if told for line in ["", f"Note: {escape(note)}"]]


def _grids(summary: RunSummary) -> list[_Grid]:
    """Return the tables that are not empty."""
    several = [case for case in summary.cases if case.replicates >= _MANY]
    used = [case for case in several if any(measure in case.measures for measure in _USAGE)]
    groups = [one for one in summary.groups if _tells_more(one, summary.groups)]
    every = [
        _Grid(
            "Replicates: solve rate, the mean over the programs of a case",
            ("case", "programs", "missing", "solve rate", "pass@1", "pass@2", "pass^2", "95% interval"),
            [_rates(case) for case in several],
        ),
        _Grid(
            "Replicates: usage, the mean of a case with its 95% bootstrap interval",
            ("case", *(NAMES[measure] for measure in _USAGE)),
            [_usage(case) for case in used],
            ends_in_text=False,
        ),
        _Grid(
            "Groups: the mean over the cases, ± its standard error clustered by environment",
            ("group", "cases", "missing", *(NAMES[measure] for measure in Measure), "with the missing"),
            [_group(group) for group in groups],
        ),
    ]
    return [grid for grid in every if grid.rows]


def _tells_more(group: GroupSummary, groups: Sequence[GroupSummary]) -> bool:
    """Return whether a group says something that neither its cases nor the whole run say."""
    if group.level == "suite":
        return group.cases >= _MANY
    level = [other for other in groups if other.level == group.level]
    return len(level) >= _MANY and any(other.cases >= _MANY for other in level)


def _rates(case: CaseSummary) -> tuple[str, ...]:
    rate = case.measures.get(Measure.SOLVE_RATE)
    lost = sum(case.missing.values())
    return (
        str(case.key),
        str(case.replicates - lost),
        f"{lost} of {case.replicates}" if lost else "0",
        "-" if rate is None else f"{rate.mean:.2f}",
        _at(case.pass_at, 1),
        _at(case.pass_at, 2),
        _at(case.pass_hat, 2),
        "; ".join(filter(None, [_interval(case, rate), _missing(case)])),
    )


def _at(estimates: Sequence[float], k: int) -> str:
    return f"{estimates[k - 1]:.2f}" if len(estimates) >= k else "-"


def _interval(case: CaseSummary, rate: Estimate | None) -> str:
    """Return the interval of the solve rate and how it was made. A solve rate is from 0 to 1, and so is it here."""
    if case.within is not None:
        return f"{case.within.low:.2f} to {case.within.high:.2f}, Wilson within one program"
    if rate is None or rate.t is None:
        return ""
    if rate.t.low == rate.t.high:
        return "none: all programs solved as much"
    return f"{max(0.0, rate.t.low):.2f} to {min(1.0, rate.t.high):.2f}, t over programs"


def _missing(case: CaseSummary) -> str:
    """Return which replicates are missing, and how far the mean could move with them."""
    if case.bounds is None:
        return ""
    endings = ", ".join(f"{ending} {count}" for ending, count in sorted(case.missing.items()))
    told = f"missing: {endings}; with them the mean is from {case.bounds[0]:.2f} to {case.bounds[1]:.2f}"
    return f"inconclusive, {told}" if case.inconclusive else told


def _usage(case: CaseSummary) -> tuple[str, ...]:
    return (str(case.key), *(_spread(case.measures.get(measure), FORMS[measure]) for measure in _USAGE))


def _spread(estimate: Estimate | None, form: str) -> str:
    if estimate is None:
        return "-"
    interval = estimate.bootstrap
    if interval is None or interval.low == interval.high:
        return format(estimate.mean, form)
    return f"{estimate.mean:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def _group(group: GroupSummary) -> tuple[str, ...]:
    rate = group.measures.get(Measure.SOLVE_RATE)
    measured = rate.cases if rate else 0
    low, high = group.bounds or (0.0, 0.0)
    return (
        "all cases" if group.level == "suite" else f"{group.level} {group.name}",
        str(group.cases) if measured == group.cases else f"{measured} of {group.cases}",
        f"{group.missing_share:.0%}",
        *(_with_error(group.measures.get(measure), FORMS[measure]) for measure in Measure),
        f"solve rate {low:.2f} to {high:.2f}" if group.bounds else "",
    )


def _with_error(mean: GroupMean | None, form: str) -> str:
    if mean is None:
        return "-"
    return format(mean.mean, form) + ("" if mean.stderr is None else f" ±{mean.stderr:{form}}")


def _mixed(trials: Sequence[Trial]) -> list[str]:
    """Return a note for each case whose replicates ran under different conditions: their mean says little."""
    notes = []
    for key, members in by_case(trials).items():
        names = {name for trial in members for name in trial.conditions}
        differing = changes(members, members, names)
        if differing:
            notes.append(f"the replicates of {key} differ in {', '.join(change.name for change in differing)}")
    return notes


def _aligned(grid: _Grid) -> list[str]:
    rows = [grid.head, *grid.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    columns = [
        [f"{cell:>{width}}" if number in grid.numbers else f"{cell:<{width}}" for cell in column]
        for number, (column, width) in enumerate(zip(zip(*rows, strict=True), widths, strict=True))
    ]
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def _piped(grid: _Grid) -> list[str]:
    head, *rows = [f"| {' | '.join(map(escape, row))} |" for row in (grid.head, *grid.rows)]
    rule = "|".join("--:" if number in grid.numbers else "---" for number in range(len(grid.head)))
    return [head, f"|{rule}|", *rows]
