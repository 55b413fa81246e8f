"""What one run says of each case and of each group of cases: means, their uncertainty, and what is missing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import comb
from statistics import fmean

from msgspec import Struct

from harness.verdict.intervals import Interval, bootstrap_interval, clustered_stderr, t_interval, wilson_interval
from harness.verdict.rules import Rules
from harness.verdict.trials import CaseKey, Measure, Trial, by_case, filled, graded, values

LEVELS = ("suite", "backend", "model", "environment")
"""The kinds of groups: all cases, and the cases that share a backend, a model or an environment."""


_RULES = Rules()


class Estimate(Struct, frozen=True, kw_only=True):
    """The mean of a measure over `programs` programs, with two intervals. An interval needs two programs."""

    mean: float
    programs: int
    t: Interval | None
    bootstrap: Interval | None


class CaseSummary(Struct, frozen=True, kw_only=True):
    """One case over its replicates.

    `measures` leaves out what no replicate measured. `within` is the Wilson interval of the only program, and null
    unless there is exactly one. `pass_at` and `pass_hat` give, for k = 1, 2, …, the chance that at least one of k
    programs passes, and that all k pass. `missing` counts the endings that left nothing to grade. `bounds` are the
    lowest and the highest mean solve rate that are possible if the missing replicates had been graded, and null if none
    is missing. `inconclusive` is true if more replicates are missing than the rules accept.
    """

    key: CaseKey
    replicates: int
    measures: Mapping[Measure, Estimate]
    within: Interval | None
    pass_at: tuple[float, ...]
    pass_hat: tuple[float, ...]
    missing: Mapping[str, int]
    bounds: tuple[float, float] | None
    inconclusive: bool

    @property
    def missing_share(self) -> float:
        """The share of replicates that are missing."""
        return sum(self.missing.values()) / self.replicates


class GroupMean(Struct, frozen=True, kw_only=True):
    """The mean of a measure over the cases of a group, each with the same weight.

    `stderr` is clustered by environment. It is null if the cases are from fewer than two environments.
    """

    mean: float
    stderr: float | None
    cases: int
    environments: int


class GroupSummary(Struct, frozen=True, kw_only=True):
    """All cases of a run that share a backend, a model or an environment, or the whole suite.

    `cases` counts its cases. `bounds` are as for a case, averaged over the cases. They cover the cases without a
    measurement, which the means leave out.
    """

    level: str
    name: str
    cases: int
    measures: Mapping[Measure, GroupMean]
    missing_share: float
    bounds: tuple[float, float] | None


def pass_at_k(programs: int, passed: int, k: int) -> float:
    """Return the unbiased estimate of the chance that at least one of k programs passes (Chen et al. 2021)."""
    _check_k(programs, passed, k)
    return 1.0 - comb(programs - passed, k) / comb(programs, k)


def pass_hat_k(programs: int, passed: int, k: int) -> float:
    """Return the unbiased estimate of the chance that all of k programs pass (Yao et al. 2024)."""
    _check_k(programs, passed, k)
    return comb(passed, k) / comb(programs, k)


def summarize_cases(trials: Iterable[Trial], rules: Rules = _RULES) -> list[CaseSummary]:
    """Return a summary of each case, in the order of their names."""
    return [_case(key, members, rules) for key, members in by_case(trials).items()]


def summarize_groups(trials: Iterable[Trial]) -> list[GroupSummary]:
    """Return a summary of the suite, and of each backend, model and environment."""
    cases = by_case(trials)
    return [
        _group(level, name, {key: cases[key] for key in keys})
        for level in LEVELS
        for name, keys in groups(cases, level).items()
    ]


def groups(keys: Iterable[CaseKey], level: str) -> dict[str, list[CaseKey]]:
    """Return the cases of each group of a level, by the name of the group. The suite's only group is `all`."""
    found = defaultdict[str, list[CaseKey]](list)
    for key in sorted(keys):
        found["all" if level == "suite" else getattr(key, level)].append(key)
    return dict(found)


def _case(key: CaseKey, trials: Sequence[Trial], rules: Rules) -> CaseSummary:
    lost = [trial.ending for trial in trials if trial.missing]
    done = graded(trials)
    passed = sum(trial.passed for trial in done)
    counts = range(1, len(done) + 1)
    only = done[0] if len(done) == 1 and done[0].episodes else None
    return CaseSummary(
        key=key,
        replicates=len(trials),
        measures={measure: _estimate(sample) for measure in Measure if (sample := values(trials, measure))},
        within=wilson_interval(round((only.solve_rate or 0) * only.episodes), only.episodes) if only else None,
        pass_at=tuple(pass_at_k(len(done), passed, k) for k in counts),
        pass_hat=tuple(pass_hat_k(len(done), passed, k) for k in counts),
        missing=dict(Counter(lost)),
        bounds=_bounds([trials]),
        inconclusive=not done or len(lost) > rules.missing * len(trials),
    )


def _bounds(cases: Collection[Sequence[Trial]]) -> tuple[float, float] | None:
    """Return how far the mean solve rate could move if nothing were missing, averaged over the cases."""
    if not any(trial.missing for trials in cases for trial in trials):
        return None
    return fmean(filled(trials, 0.0) for trials in cases), fmean(filled(trials, 1.0) for trials in cases)


def _estimate(sample: Sequence[float]) -> Estimate:
    return Estimate(
        mean=fmean(sample), programs=len(sample), t=t_interval(sample), bootstrap=bootstrap_interval(sample)
    )


def _group(level: str, name: str, cases: Mapping[CaseKey, Sequence[Trial]]) -> GroupSummary:
    everything = [trial for trials in cases.values() for trial in trials]
    measures = {}
    for measure in Measure:
        means = {key: fmean(sample) for key, trials in cases.items() if (sample := values(trials, measure))}
        if means:
            environments = [key.environment for key in means]
            measures[measure] = GroupMean(
                mean=fmean(means.values()),
                stderr=clustered_stderr(list(means.values()), environments),
                cases=len(means),
                environments=len(set(environments)),
            )
    missing = sum(trial.missing for trial in everything) / len(everything)
    return GroupSummary(
        level=level,
        name=name,
        cases=len(cases),
        measures=measures,
        missing_share=missing,
        bounds=_bounds(cases.values()),
    )


def _check_k(programs: int, passed: int, k: int) -> None:
    if not (1 <= k <= programs and 0 <= passed <= programs):
        raise ValueError(f"no estimate for k = {k} with {passed} of {programs} programs passed")
