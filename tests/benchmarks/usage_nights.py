"""Simulated nights of cost, turns, tokens and seconds, judged by the gate's own tests, as `nights.py` does for rates.

Programs of a case need turns by a log-normal distribution, rounded, so that many tie. Tokens and seconds follow the
turns. Cost follows the tokens exactly. All seconds of a night share a factor: how busy the machine is.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import special, stats

from harness.verdict.by_night import FEWEST
from harness.verdict.discovery import PValue, discovered
from harness.verdict.rules import Rules
from harness.verdict.trials import Measure
from tests.benchmarks.nights import BASE_NIGHTS, CASES, GROUPS, MISSING, Floats, Ints, Values, group_tails, scored_tests

COSTS = (Measure.COST, Measure.TURNS, Measure.TOKENS, Measure.SECONDS)


class Usage(Struct, frozen=True, kw_only=True):
    """How the nights are made. `busy` is the spread of the logarithm of a night's factor on its seconds.

    Each of the cases `risen` needs more turns by the share `rise`.
    """

    nights: int
    replicates: int
    busy: float = 0.1
    spread: float = 0.4
    gap: float = 0.05
    rise: float = 0.0
    risen: tuple[int, ...] = ()
    seed: int = 1


class Used(Struct, frozen=True):
    """What the sessions used: each by night of the simulation, case, night of the baseline, and replicate."""

    base: dict[Measure, Floats]
    new: dict[Measure, Floats]


class _PValues(Struct, frozen=True):
    """The p-values of groups and of cases, and the least possible ones of cases: each by night."""

    groups: Floats
    cases: Floats
    least: Floats


def draw_usage(usage: Usage) -> Used:
    """Return what the sessions of all nights used. The new night is the last one. A missing one is `MISSING`."""
    chance = np.random.default_rng([usage.seed, 7])
    shape = (usage.nights, CASES, BASE_NIGHTS + 1, usage.replicates)
    middle = np.exp(np.random.default_rng(5).uniform(np.log(5), np.log(40), CASES))[:, None, None] * np.ones(shape)
    middle[:, list(usage.risen), -1] *= 1 + usage.rise
    turns = np.maximum(1, np.rint(middle * np.exp(chance.normal(0, usage.spread, shape))))
    tokens = np.rint(1000 * turns * np.exp(chance.normal(0, 0.3, shape)))
    factor = np.exp(chance.normal(0, usage.busy, (usage.nights, 1, BASE_NIGHTS + 1, 1)))
    seconds = 8 * turns * np.exp(chance.normal(0, 0.2, shape)) * factor
    lost = chance.random(shape) < usage.gap
    found = {Measure.COST: tokens / 1e6, Measure.TURNS: turns, Measure.TOKENS: tokens, Measure.SECONDS: seconds}
    kept = {measure: np.where(lost, MISSING, values) for measure, values in found.items()}
    return Used(
        base={measure: values[:, :, :-1] for measure, values in kept.items()},
        new={measure: values[:, :, -1:] for measure, values in kept.items()},
    )


def usage_worse(usage: Usage) -> NDArray[np.bool_]:
    """Return what is called worse: by night, measure (`COSTS`), and name (the groups, then the cases)."""
    used, level = draw_usage(usage), Rules().false_discovery
    found = [_p_values(used.base[measure], used.new[measure], measure) for measure in COSTS]
    names = [*GROUPS, *map(str, range(CASES))]
    inside = {
        f"{measure} {name}": [f"{measure} {number}" for number in members]
        for measure in COSTS
        for name, members in GROUPS.items()
    }
    result = np.zeros((usage.nights, len(COSTS), len(names)), dtype=bool)
    for night in range(usage.nights):
        groups: dict[str, float] = {}
        cases: dict[str, PValue] = {}
        for measure, p in zip(COSTS, found, strict=True):
            groups |= {f"{measure} {name}": float(value) for name, value in zip(GROUPS, p.groups[night], strict=True)}
            pairs = zip(p.cases[night], p.least[night], strict=True)
            cases |= {f"{measure} {number}": PValue(*pair) for number, pair in enumerate(pairs)}
        adjusted = discovered(groups, cases, inside, level)
        result[night] = [[adjusted[f"{measure} {name}"] <= level for name in names] for measure in COSTS]
    return result


def _p_values(base: Floats, new: Floats, measure: Measure) -> _PValues:
    nights, rows = len(base), len(base) * CASES
    old, fresh = base.reshape(rows, -1), new.reshape(rows, -1)
    highest = 2 * (old.shape[1] + fresh.shape[1] - 1)
    found = scored_tests(old, fresh, _falling_ranks, highest * fresh.shape[1])
    of_groups, of_cases = group_tails(found, nights), found.low.reshape(nights, CASES)
    if measure is Measure.SECONDS:
        untested = ((base < 0).mean(axis=(2, 3)) > 0.5) | ((new < 0).mean(axis=(2, 3)) > 0.5)
        base, new = (np.where(untested[:, :, None, None], MISSING, side) for side in (base, new))
        of_groups = np.maximum(of_groups, np.stack([_over_nights(base, new, of) for of in GROUPS.values()], axis=1))
        of_cases = np.maximum(of_cases, np.stack([_over_nights(base, new, [case]) for case in range(CASES)], axis=1))
    return _PValues(of_groups, of_cases, found.least.reshape(nights, CASES))


def _falling_ranks(values: Values, _rows: Ints) -> Ints:
    """Return twice the mid-rank of each value, counted down to 0, so that a high value has a low score."""
    return np.asarray(2 * (values.shape[1] - stats.rankdata(values, axis=1)), dtype=np.int64)


def _over_nights(base: Floats, new: Floats, cases: list[int]) -> Floats:
    """Return the p-value of the t test over nights that these cases take more seconds, for each night."""
    old, fresh = (np.ma.log(np.ma.masked_less(side[:, cases], 0)) for side in (base, new))
    middle = old.mean(axis=(2, 3), keepdims=True)
    before, tonight = ((side - middle).mean(axis=3).mean(axis=1) for side in (old, fresh))
    count = before.count(axis=1)
    error = before.std(axis=1, ddof=1) * np.sqrt(1 + 1 / np.maximum(count, 1))
    p = special.stdtr(count - 1, np.ma.filled((before.mean(axis=1) - tonight[:, 0]) / error, np.inf))
    return np.asarray(np.where(count < FEWEST, 1.0, p))
