"""What the page shows of runs as a whole: the verdict, the means of each case, and how the backends went over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from harness.report.verdicts import FORMS, NAMES, Compared, counts
from harness.results.history import History, PastRun, consult
from harness.results.history_index import HistoryError
from harness.results.record import Record
from harness.results.run_folder import suite_of
from harness.verdict.comparison import Verdict
from harness.verdict.rules import Rules
from harness.verdict.series import series_of, without_parts
from harness.verdict.summaries import CaseSummary, summarize_cases
from harness.verdict.trials import Measure, Trial
from harness.visible import visible

_SHOWN_VERDICTS = (Verdict.WORSE, Verdict.BETTER, Verdict.INCOMPARABLE, Verdict.INCONCLUSIVE, Verdict.NEW, Verdict.GONE)
_POINTS = 60
"""How many of the newest runs a trend shows."""


class ShownRun(Struct, frozen=True, kw_only=True):
    """A run in the page: its folder, its records, and its comparison with a baseline, if it had one."""

    folder: Path
    records: list[Record]
    trials: list[Trial]
    verdict: Compared | None = None


class Cell(Struct, frozen=True, kw_only=True):
    """The solve rate of a case over its replicates, with its 95% interval. `how` says how the interval was made."""

    backend: str
    model: str
    environment: str
    programs: int
    missing: int
    mean: float | None
    low: float | None
    high: float | None
    how: str


class Change(Struct, frozen=True, kw_only=True):
    """A verdict on a case or a group, in words and numbers as they are shown."""

    level: str
    name: str
    measure: str
    verdict: str
    before: str
    now: str
    why: str


class ShownVerdict(Struct, frozen=True, kw_only=True):
    """The comparison with the baseline. `line` is the verdict in a sentence. `alarming`: something is worse."""

    line: str
    alarming: bool
    against: list[str]
    notes: list[str]
    changes: list[Change]


class TrendPoint(Struct, frozen=True, kw_only=True):
    """What one run of the history says of a backend."""

    backend: str
    run: str
    began: str
    solve_rate: float | None
    cost_usd: float | None
    cases: int


class AboutRun(Struct, frozen=True, kw_only=True):
    """What the page says of a run. `began` is when its first session began, or `None` if no record tells it."""

    name: str
    folder: str
    suite: str | None
    began: str | None
    cases: int
    harness: list[str]


class Overview(Struct, frozen=True, kw_only=True):
    """All of the page but the details of cases. `rows` are columns of `CaseRow`, by name."""

    made_at: str
    version: str
    runs: list[AboutRun]
    verdict: ShownVerdict | None
    cells: list[Cell]
    trends: list[TrendPoint]
    rows: dict[str, list[object]]
    unrecorded: list[str]


def cells(trials: Iterable[Trial], rules: Rules) -> list[Cell]:
    """Return the solve rate of each case over all trials. Replicates that were added later do not count."""
    return [_cell(case) for case in summarize_cases([trial for trial in trials if not trial.added], rules)]


def shown_verdict(compared: Compared | None) -> ShownVerdict | None:
    """Return the comparison with the baseline as it is shown."""
    if compared is None:
        return None
    chosen = [
        one
        for verdict in _SHOWN_VERDICTS
        for one in compared.having(verdict)
        if one.measure is Measure.SOLVE_RATE or verdict in {Verdict.WORSE, Verdict.BETTER}
    ]
    changes = [
        Change(
            level=one.level,
            name=visible(one.name),
            measure=NAMES[one.measure],
            verdict=str(one.verdict),
            before=_number(one.base.mean, one.measure),
            now=_number(one.new.mean, one.measure),
            why=visible(one.reason),
        )
        for one in chosen
    ]
    first, *by_measure = counts(compared)
    line = "; ".join([first if compared.alarming else "nothing is worse than the baseline", *by_measure[:1]])
    return ShownVerdict(
        line=line,
        alarming=compared.alarming,
        against=[Path(base).name for base in compared.base],
        notes=compared.notes,
        changes=changes,
    )


def trends(run: Path, backends: Iterable[str]) -> list[TrendPoint]:
    """Return how each backend went in the runs of the same suite, oldest first. There are none without a history."""
    suite = suite_of(run.name)
    if suite is None:
        return []

    def runs_by_backend(history: History) -> list[tuple[str, list[PastRun]]]:
        return [(backend, history.runs("backend", backend, suite=suite)) for backend in backends]

    try:
        past, _ = consult(run.parent, runs_by_backend)
    except (HistoryError, OSError):
        return []
    return [point for backend, runs in past for point in trend(backend, runs)]


def trend(backend: str, runs: Sequence[PastRun]) -> Iterator[TrendPoint]:
    """Yield how a backend went in these runs, which hold its entries alone, oldest first."""
    kept, _ = without_parts(runs)
    for point in series_of("backend", backend, kept, {}, _POINTS).points:
        yield TrendPoint(
            backend=backend,
            run=point.run,
            began=point.began,
            solve_rate=point.solve_rate,
            cost_usd=point.cost_usd,
            cases=point.cases,
        )


def about(run: ShownRun) -> AboutRun:
    """Return what the page says of a run."""
    starts = [record.started_at for record in run.records if record.started_at]
    return AboutRun(
        name=run.folder.name,
        folder=str(run.folder),
        suite=suite_of(run.folder.name),
        began=min(starts, default=None),
        cases=len(run.records),
        harness=sorted({commit_of(record) for record in run.records}),
    )


def commit_of(record: Record) -> str:
    """Return the commit of Proctor that made a record, or its version if the commit is not known."""
    return record.versions.harness_commit or record.versions.harness


def _cell(case: CaseSummary) -> Cell:
    rate = case.measures.get(Measure.SOLVE_RATE)
    interval = case.within or (rate.t if rate else None)
    if interval and not case.within and interval.low == interval.high:
        interval = None  # all programs solved as much, which says nothing of the next one
    lost = sum(case.missing.values())
    return Cell(
        backend=visible(case.key.backend),
        model=visible(case.key.model),
        environment=visible(case.key.environment),
        programs=case.replicates - lost,
        missing=lost,
        mean=rate.mean if rate else None,
        low=max(0.0, interval.low) if interval else None,
        high=min(1.0, interval.high) if interval else None,
        how="" if interval is None else "Wilson within one program" if case.within else "t over programs",
    )


def _number(mean: float | None, measure: Measure) -> str:
    return "-" if mean is None else format(mean, FORMS[measure])
