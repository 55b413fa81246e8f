"""How a case or a group of cases went over time: one point for each run. Pure functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from statistics import fmean

from msgspec import Struct

from harness.endings import Ending
from harness.results.entries import HistoryEntry
from harness.results.history import PastRun


class Point(Struct, frozen=True, kw_only=True):
    """What one run says.

    Means are over the sessions that were graded, and give each case the same weight. A mean is `None` if no session
    has the measurement. Replicates that were added to an undecided case do not count: it got them because the first
    ones were bad. `missing` counts the sessions without a grade. `flake_rate` is the share of sessions in which
    infrastructure ended an attempt, or whose tries had different outcomes. Sessions that were skipped or interrupted do
    not count for it. It is `None` if no session counts.
    """

    run: str
    began: str
    suite: str | None
    tags: tuple[str, ...] = ()
    cases: int
    sessions: int
    missing: int
    solve_rate: float | None
    cost_usd: float | None
    turns: float | None
    seconds: float | None
    flake_rate: float | None


class Series(Struct, frozen=True, kw_only=True):
    """Points from oldest to newest. `kind` and `name` say what they are about. `suite` is the only suite, or `None`."""

    kind: str
    name: str
    suite: str | None
    points: tuple[Point, ...]


TRENDS = ("solve_rate", "cost_usd", "turns", "seconds", "flake_rate")
"""The measures of a `Point`."""


def point_of(past: PastRun, tags: Sequence[str] = ()) -> Point:
    """Return what the entries of a run say."""
    sessions = _sessions(entry for entry in past.entries if not entry.added)
    counted = [_counted(tries) for tries in sessions]
    cases: dict[str, list[HistoryEntry]] = {}
    for entry in counted:
        cases.setdefault(entry.case_name, []).append(entry)
    graded = [[entry for entry in case if entry.solve_rate is not None] for case in cases.values()]
    flakes = [_flaked(tries) for tries, one in zip(sessions, counted, strict=True) if _is_trial(one)]
    return Point(
        run=past.run.name,
        began=past.run.began,
        suite=past.run.suite,
        tags=tuple(tags),
        cases=len(cases),
        sessions=len(counted),
        missing=len(counted) - sum(map(len, graded)),
        solve_rate=_mean(graded, "solve_rate"),
        cost_usd=_mean(graded, "cost_usd"),
        turns=_mean(graded, "turns"),
        seconds=_mean(graded, "agent_s"),
        flake_rate=fmean(flakes) if flakes else None,
    )


def series_of(
    kind: str, name: str, runs: Iterable[PastRun], tags: Mapping[str, Sequence[str]], last: int | None = None
) -> Series:
    """Return the series of the last runs, or of all. `runs` are in order. `tags` are those of each run, by its name."""
    points = tuple(point_of(past, tags.get(past.run.name, ())) for past in runs)
    points = points[-last:] if last else points
    suites = {point.suite for point in points}
    return Series(kind=kind, name=name, suite=suites.pop() if len(suites) == 1 else None, points=points)


def overview(runs: Sequence[PastRun], tags: Mapping[str, Sequence[str]], last: int | None = None) -> list[list[Series]]:
    """Return, for each suite, its own series and then those of its cases. `last` limits the runs of each suite.

    Runs whose suite is not known come first, as a suite with an empty name.
    """
    found = []
    for suite in sorted({past.run.suite or "" for past in runs}):
        ours = [past for past in runs if (past.run.suite or "") == suite]
        ours = ours[-last:] if last else ours
        cases = _by_case(ours)
        found.append(
            [
                series_of("suite", suite, ours, tags),
                *(series_of("case", case, cases[case], tags) for case in sorted(cases)),
            ]
        )
    return found


def without_parts(runs: Sequence[PastRun]) -> tuple[list[PastRun], list[str]]:
    """Leave out each run whose sessions are all in another run too, such as a shard of a merged run.

    Return the other runs, and the names of those that were left out. Of two runs with the same sessions, the later one
    stays.
    """
    identities = [_identities(past.entries) for past in runs]
    holders = defaultdict[tuple[str, str], set[int]](set)
    for number, sessions in enumerate(identities):
        for session in sessions or ():
            holders[session].add(number)
    parts = set()
    for number, sessions in enumerate(identities):
        if sessions:
            whole = set.intersection(*(holders[session] for session in sessions)) - {number}
            if any(len(identities[other] or ()) > len(sessions) or other > number for other in whole):
                parts.add(number)
    kept = [past for number, past in enumerate(runs) if number not in parts]
    return kept, [past.run.name for number, past in enumerate(runs) if number in parts]


def _identities(entries: Iterable[HistoryEntry]) -> frozenset[tuple[str, str]] | None:
    """Return what tells the sessions of a run from those of others. Return `None` if it is not known for all."""
    found = {(entry.case_id, entry.started_at) for entry in entries}
    return None if any(started is None for _case, started in found) else frozenset(found)  # type: ignore[arg-type]


def _by_case(runs: Iterable[PastRun]) -> dict[str, list[PastRun]]:
    """Return the runs of each case, with the entries of that case alone."""
    found = defaultdict[str, list[PastRun]](list)
    for past in runs:
        cases = defaultdict[str, list[HistoryEntry]](list)
        for entry in past.entries:
            cases[entry.case_name].append(entry)
        for case, entries in cases.items():
            found[case].append(PastRun(past.run, entries))
    return found


def _sessions(entries: Iterable[HistoryEntry]) -> list[list[HistoryEntry]]:
    """Return the tries of each session, in order."""
    found: dict[str, list[HistoryEntry]] = {}
    for entry in sorted(entries, key=attrgetter("try_number")):
        found.setdefault(entry.session, []).append(entry)
    return list(found.values())


def _counted(tries: Sequence[HistoryEntry]) -> HistoryEntry:
    """Return the try that counts: the first with a grade, or else the last. `read_trials` has the same rule."""
    return next((entry for entry in tries if entry.solve_rate is not None), tries[-1])


def _is_trial(entry: HistoryEntry) -> bool:
    return entry.outcome != "skipped" and entry.ending != Ending.INTERRUPTED


def _flaked(tries: Sequence[HistoryEntry]) -> bool:
    return any(entry.faults or entry.outcome != tries[0].outcome for entry in tries)


def _mean(cases: Iterable[Iterable[HistoryEntry]], field: str) -> float | None:
    """Return the mean over cases of the mean over the sessions of a case."""
    value = attrgetter(field)
    known = [[number for entry in case if (number := value(entry)) is not None] for case in cases]
    means = [fmean(numbers) for numbers in known if numbers]
    return fmean(means) if means else None
