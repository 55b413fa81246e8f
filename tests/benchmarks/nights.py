"""Simulated nights: many at once, judged by the gate's own tests (`harness/verdict`).

Programs of a case differ by a beta distribution, and episodes of a program by a binomial one. The baseline is seven
nights. A replicate is missing by chance. `tests/unit/test_verdict_nights.py` holds this simulation to `compare`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import fft, special

from harness.verdict.discovery import PValue, discovered
from harness.verdict.permutation import least_p, sum_chances
from harness.verdict.rules import Looks, Rules
from harness.verdict.spread import LEVELS, Programs, pooled_spread, program_scores

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Values = NDArray[Any]

BACKENDS, MODELS, ENVIRONMENTS = 3, 4, 5
CASES = BACKENDS * MODELS * ENVIRONMENTS
EPISODES, BASE_NIGHTS = 20, 7
MISSING = -1
_CHUNK = 3000

NAMES = [(b, m, e) for b in range(BACKENDS) for m in range(MODELS) for e in range(ENVIRONMENTS)]
GROUPS: dict[str, list[int]] = {
    "all": list(range(CASES)),
    **{f"b{b}": [i for i, name in enumerate(NAMES) if name[0] == b] for b in range(BACKENDS)},
    **{f"m{m}": [i for i, name in enumerate(NAMES) if name[1] == m] for m in range(MODELS)},
    **{f"e{e}": [i for i, name in enumerate(NAMES) if name[2] == e] for e in range(ENVIRONMENTS)},
}
"""The groups and the numbers of their cases."""


class Setting(Struct, frozen=True, kw_only=True):
    """How the nights of a simulation are made. `base` and `new` hold the mean solve rate of each case.

    `difficulty` is how much episodes differ, as a standard deviation of log odds. All programs of an environment face
    the same episodes, every night. `shift` is how much nights differ as a whole, as a standard deviation of all means.
    """

    base: Sequence[float]
    new: Sequence[float]
    nights: int
    replicates: int
    concentration: float = 2.0
    gap: float = 0.05
    difficulty: float = 0.0
    shift: float = 0.0
    seed: int = 1


class Tests(Struct, frozen=True):
    """The p-value that each row is worse, the least one possible, the chances of its sums, and the observed sum."""

    low: Floats
    least: Floats
    chances: Floats
    observed: Ints


class Rows(Struct, frozen=True):
    """Cases of many nights: one row each."""

    base: Ints
    new: Ints
    concentration: Floats


class Judged(Struct, frozen=True):
    """What the gate calls worse: one row for each night. `used` counts the sessions of each case."""

    groups: NDArray[np.bool_]
    cases: NDArray[np.bool_]
    used: Ints

    def sessions(self) -> float:
        """Return the mean number of sessions of a night."""
        return float(self.used.sum(axis=1).mean())

    def any_worse(self) -> float:
        """Return the share of nights with any "worse"."""
        return float((self.groups.any(axis=1) | self.cases.any(axis=1)).mean())


def draw(setting: Setting, means: Sequence[float], replicates: int, *, salt: int, runs: int = 1) -> Ints:
    """Return the solved episodes of each program: by night, case and replicate. A missing one is `MISSING`.

    The replicates are those of `runs` nights one after the other.
    """
    chance = np.random.default_rng([setting.seed, salt])
    shape = (setting.nights, CASES, replicates)
    mean = np.asarray(means)[None, :, None]
    if setting.shift:
        shifts = chance.normal(0, setting.shift, (setting.nights, 1, runs)).repeat(replicates // runs, axis=2)
        mean = np.clip(mean + shifts, 0.01, 0.99)
    rates = chance.beta(mean * setting.concentration, (1 - mean) * setting.concentration, shape)
    solved = _played(setting, rates, chance) if setting.difficulty else chance.binomial(EPISODES, rates)
    return np.where(chance.random(shape) < setting.gap, MISSING, solved)


def _played(setting: Setting, rates: Floats, chance: np.random.Generator) -> Ints:
    """Return the solved episodes of programs whose environment has easy and hard ones, the same for all programs."""
    hard = np.random.default_rng([setting.seed, 0]).normal(
        0, setting.difficulty, (setting.nights, ENVIRONMENTS, EPISODES)
    )
    odds, environments = special.logit(rates), [environment for _, _, environment in NAMES]
    chances = (special.expit(odds - hard[:, environments, number, None]) for number in range(EPISODES))
    return np.asarray(np.sum([chance.random(rates.shape) < one for one in chances], axis=0), dtype=np.int64)


def spreads(base: Ints, new: Ints) -> Floats:
    """Return the concentration that the gate finds in each night: by night, for values by night, case, replicate."""
    both = np.concatenate([base, new], axis=2)
    found = [pooled_spread(Programs(tuple(case[case >= 0] / EPISODES), EPISODES) for case in night) for night in both]
    return np.array([spread.concentration for spread in found])


def tests(base: Ints, new: Ints, concentration: Floats) -> Tests:
    """Return the permutation tests of many cases, by row and replicate. A row without data is never significant."""

    def scores(solved: Values, rows: Ints) -> Ints:
        return program_scores(solved / EPISODES, EPISODES, concentration[rows, None], EPISODES)

    return scored_tests(base, new, scores, new.shape[1] * LEVELS)


def scored_tests(base: Values, new: Values, scores: Callable[[Values, Ints], Ints], highest: int) -> Tests:
    """Return the permutation tests of many cases with any integer scores, whose sum is at most `highest`.

    `scores` takes the values of some rows and the numbers of these rows.
    """
    rows = len(new)
    low, observed = np.ones(rows), np.zeros(rows, dtype=np.int64)
    chances = np.zeros((rows, highest + 1))
    chances[:, 0] = 1.0
    sizes = np.stack([(base >= 0).sum(axis=1), (new >= 0).sum(axis=1)], axis=1)
    lost = 2 * sizes < [base.shape[1], new.shape[1]]
    ready = ~lost.any(axis=1) & (sizes > 0).all(axis=1)
    for old, fresh in np.unique(sizes[ready], axis=0):
        same = np.flatnonzero(ready & (sizes == [old, fresh]).all(axis=1))
        for part in np.array_split(same, -(-len(same) // _CHUNK)):
            found = scores(np.concatenate([_kept(base[part], old), _kept(new[part], fresh)], axis=1), part)
            sums, total = sum_chances(found, int(fresh)), found[:, old:].sum(axis=1)
            chances[part, : sums.shape[1]] = sums
            low[part] = np.take_along_axis(np.cumsum(sums, axis=1), total[:, None], axis=1)[:, 0]
            observed[part] = total
    least = np.take_along_axis(chances, (chances > 0).argmax(axis=1)[:, None], axis=1)[:, 0]
    return Tests(low.clip(max=1.0), least, chances, observed)


def group_tails(found: Tests, nights: int) -> Floats:
    """Return the p-value that each group is worse: by night and group. The chances of cases are convolved."""
    width = CASES * (found.chances.shape[1] - 1) + 1
    length = fft.next_fast_len(width, real=True)
    result = np.empty((nights, len(GROUPS)))
    for night in range(nights):
        part = slice(night * CASES, (night + 1) * CASES)
        waves = fft.rfft(found.chances[part], n=length, axis=1)
        for column, members in enumerate(GROUPS.values()):
            chances = fft.irfft(np.prod(waves[members], axis=0), n=length)
            total = int(found.observed[part][members].sum())
            result[night, column] = min(1.0, max(0.0, chances[: total + 1].sum()))
    return result


def judge(setting: Setting, looks: Looks | None = None) -> Judged:
    """Simulate nights and judge them, with replicates added to undecided cases if there are looks."""
    base = draw(setting, setting.base, BASE_NIGHTS * setting.replicates, salt=1, runs=BASE_NIGHTS)
    new = draw(setting, setting.new, looks.last if looks else setting.replicates, salt=2)
    concentration = np.repeat(spreads(base, new[:, :, : setting.replicates]), CASES)
    rows = setting.nights * CASES
    base, new = base.reshape(rows, -1), new.reshape(rows, -1)
    first = tests(base, new[:, : setting.replicates], concentration)
    groups = group_tails(first, setting.nights)
    used = np.full((setting.nights, CASES), setting.replicates)
    if looks:
        return _until_decided(Rows(base, new, concentration), first, groups, looks)
    return Judged(*_discovered(groups, first.low.reshape(used.shape), first.least.reshape(used.shape)), used)


def _until_decided(rows: Rows, first: Tests, groups: Floats, looks: Looks) -> Judged:
    """Add replicates to the promising cases of all nights, one each in a round, and judge after each round."""
    nights = len(groups)
    plain, used = first.low.reshape(nights, CASES).copy(), np.full((nights, CASES), looks.first)
    paid, least = plain / looks.share(looks.first), _least_at_last(rows, looks).reshape(nights, CASES)
    flagged, worse = _discovered(groups, paid, least)
    budget = np.full(nights, int(looks.budget * CASES * looks.first))
    at = np.array([looks.promising_at(count) for count in range(looks.last + 1)])
    for _ in range(looks.last - looks.first):
        chosen = _promising(plain, (plain <= at[used]) & ~worse & (used < looks.last), budget)
        if not chosen.any():
            break
        used[chosen] += 1
        budget -= chosen.sum(axis=1)
        index = np.flatnonzero(chosen.reshape(-1))
        spent = used.reshape(-1)[index]
        visible = np.where(np.arange(looks.last) < spent[:, None], rows.new[index], MISSING)
        graded = (visible >= 0).sum(axis=1)
        low = _low_tails(Rows(rows.base[index], visible, rows.concentration[index]))
        plain.reshape(-1)[index] = low
        shares = np.array([looks.share(int(count)) for count in graded])
        flat = paid.reshape(-1)
        flat[index] = np.minimum(flat[index], low / shares)
        flagged, worse = _discovered(groups, paid, least)
    return Judged(flagged, worse, used)


def _least_at_last(rows: Rows, looks: Looks) -> Floats:
    """Return the least p-value that each row could have after the last look."""
    counts, member = np.unique((rows.base >= 0).sum(axis=1), return_inverse=True)
    return np.array([least_p([(int(count), looks.last)]) / looks.share(looks.last) for count in counts])[member]


def _low_tails(rows: Rows) -> Floats:
    """Return the p-values of rows with any number of graded replicates."""
    result = np.ones(len(rows.new))
    counts = (rows.new >= 0).sum(axis=1)
    for count in np.unique(counts[counts > 0]):
        same = np.flatnonzero(counts == count)
        fresh = _kept(rows.new[same], int(count))
        result[same] = tests(rows.base[same], fresh, rows.concentration[same]).low
    return result


def _promising(plain: Floats, wanted: NDArray[np.bool_], budget: Ints) -> NDArray[np.bool_]:
    """Return the wanted cases that the budget of their night allows, the smallest p-values first."""
    order = np.argsort(np.where(wanted, plain, np.inf), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    return wanted & (rank < budget[:, None])


def _discovered(groups: Floats, cases: Floats, least: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which groups and which cases of each night are worse."""
    level, names = Rules().false_discovery, [*GROUPS, *map(str, range(CASES))]
    inside = {name: [str(number) for number in members] for name, members in GROUPS.items()}
    found = []
    for of_groups, of_cases, smallest in zip(groups, cases, least, strict=True):
        if min(of_groups.min(), of_cases.min()) > level:
            found.append(np.zeros(len(names), dtype=bool))
            continue
        single = {str(number): PValue(*pair) for number, pair in enumerate(zip(of_cases, smallest, strict=True))}
        p = discovered(dict(zip(GROUPS, of_groups, strict=True)), single, inside, level)
        found.append(np.array([p[name] <= level for name in names]))
    return np.array(found)[:, : len(GROUPS)], np.array(found)[:, len(GROUPS) :]


def _kept(values: Values, count: int) -> Values:
    """Return the graded values of each row in their order: `count` of them."""
    order = np.argsort(values < 0, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(values, order, axis=1)


def means(low: float, high: float, seed: int = 5) -> list[float]:
    """Return a mean for each case, spread evenly between two values."""
    return [float(mean) for mean in np.random.default_rng(seed).uniform(low, high, CASES)]


def changed(base: Sequence[float], cases: Sequence[int], change: float) -> list[float]:
    """Return the means with some of them changed by this much."""
    return [mean + change if number in cases else mean for number, mean in enumerate(base)]
