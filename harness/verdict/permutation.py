"""Exact permutation tests: had nothing changed, each program could as well be from the other run.

A test adds up the integer scores of the new programs. Among all ways to choose as many programs of both runs together,
it counts the ways that give at most, or at least, this sum. No chance is drawn, so that a result is the same each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import special

Chances = NDArray[np.float64]


class Stratum(Struct, frozen=True):
    """The programs of one case: the chance of each sum if nothing changed, and the sum that was observed."""

    chances: Chances
    observed: int


class Tails(Struct, frozen=True):
    """The chance of a sum at most as high as observed, and of one at least as high.

    `least_low` and `least_high` are the smallest values that these chances could have had, whichever programs are new.
    """

    low: float
    high: float
    least_low: float
    least_high: float


def sum_chances(scores: NDArray[np.int64], chosen: int) -> Chances:
    """Return, for each row of scores, the chance of each sum of `chosen` scores that are drawn without replacement.

    Column s of the result is the chance of the sum s. Scores are integers and not negative. Each row is one case.
    """
    rows, count = scores.shape
    highest = int(np.sort(scores, axis=1)[:, count - chosen :].sum(axis=1).max(initial=0))
    ways = np.zeros((chosen + 1, rows, highest + 2))  # column 0 stays empty: a sum below 0 has no ways
    ways[0, :, 1] = 1.0
    sums = np.arange(1, highest + 2)
    for column in range(count):
        source = np.maximum(sums - scores[:, column : column + 1], 0)
        for taken in range(min(chosen, column + 1), 0, -1):
            ways[taken, :, 1:] += np.take_along_axis(ways[taken - 1], source, axis=1)
    return np.asarray(ways[chosen, :, 1:] / math.comb(count, chosen))


def stratum(base: Sequence[int], new: Sequence[int]) -> Stratum:
    """Return the stratum of a case, given the scores of its programs in both runs."""
    scores = np.array([[*base, *new]], dtype=np.int64)
    return Stratum(sum_chances(scores, len(new))[0], sum(new))


def paired_stratum(lost: int, won: int, unit: int) -> Stratum:
    """Return the stratum of one program whose episodes flipped this often. An episode counts `unit` points."""
    flipped = lost + won
    chances = np.zeros(flipped * unit + 1)
    chances[::unit] = special.binom(flipped, np.arange(flipped + 1)) / 2.0**flipped
    return Stratum(chances, won * unit)


def tails(strata: Iterable[Stratum]) -> Tails:
    """Return both tails of the sum over all strata. Programs change places only within their stratum."""
    chances, observed = np.ones(1), 0
    for one in strata:
        chances = np.convolve(chances, one.chances)
        observed += one.observed
    possible = chances[chances > 0]
    return Tails(
        low=_chance(chances[: observed + 1]),
        high=_chance(chances[observed:]),
        least_low=_chance(possible[:1]),
        least_high=_chance(possible[-1:]),
    )


def least_p(sizes: Iterable[tuple[int, int]]) -> float:
    """Return the smallest p-value that a test with these numbers of old and new programs can give."""
    ways = sum(math.log(math.comb(base + new, new)) for base, new in sizes)
    return math.exp(-ways)


def rank_scores(sample: Sequence[float]) -> list[int]:
    """Return twice the mid-rank of each value, counted from 0, so that ties get a whole number."""
    _, member, counts = np.unique(np.asarray(sample, dtype=float), return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    return [int(value) for value in (2 * below + counts - 1)[member]]


def _chance(chances: Chances) -> float:
    return min(1.0, float(chances.sum()))
