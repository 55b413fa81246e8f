"""Intervals: of a mean over programs, by Student's t and by bootstrap; of a rate within one program, by Wilson."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from scipy import special

RESAMPLES = 10_000
_SEED = 20240229


class Interval(Struct, frozen=True):
    """An interval and how it was made: `t`, `bootstrap` or `wilson within one program`."""

    low: float
    high: float
    method: str


def t_interval(sample: Sequence[float], level: float = 0.95) -> Interval | None:
    """Return the t interval of the mean of independent values. Return null for fewer than two values."""
    if len(sample) < 2:
        return None
    middle, half = float(np.mean(sample)), _t(len(sample) - 1, level) * float(np.std(sample, ddof=1))
    half /= math.sqrt(len(sample))
    return Interval(middle - half, middle + half, "t")


def bootstrap_interval(sample: Sequence[float], level: float = 0.95) -> Interval | None:
    """Return the percentile bootstrap interval of the mean of independent values. Return null for fewer than two.

    Each value stands for one program, so that to draw a value draws the program with all its episodes. This is the
    cluster bootstrap, with the program as the cluster. The draws are the same in every call.
    """
    if len(sample) < 2:
        return None
    values = np.asarray(sample, dtype=float)
    drawn = np.random.default_rng(_SEED).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), "bootstrap")


def wilson_interval(solved: int, episodes: int, level: float = 0.95) -> Interval:
    """Return the Wilson interval of the solve rate of one program over its episodes.

    It tells nothing about the next program that the same agent would write. Raise `ValueError` without episodes.
    """
    if episodes < 1:
        raise ValueError("an interval needs at least one episode")
    z2, rate = special.ndtri((1 + level) / 2) ** 2, solved / episodes
    middle = (rate + z2 / (2 * episodes)) / (1 + z2 / episodes)
    half = math.sqrt(z2 * (rate * (1 - rate) + z2 / (4 * episodes)) / episodes) / (1 + z2 / episodes)
    return Interval(float(max(0.0, middle - half)), float(min(1.0, middle + half)), "wilson within one program")


def clustered_stderr(sample: Sequence[float], clusters: Sequence[str]) -> float | None:
    """Return the standard error of a mean whose values are independent between clusters and not within them.

    This is the cluster-robust error of Liang and Zeger (1986) with the usual correction of G / (G - 1) for G clusters.
    Return null for fewer than two clusters. Raise `ValueError` if there is not one cluster for each value.
    """
    if len(sample) != len(clusters):
        raise ValueError(f"{len(sample)} values, but {len(clusters)} clusters")
    names, member = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        return None
    values = np.asarray(sample, dtype=float)
    sums = np.bincount(member, weights=values - values.mean(), minlength=len(names))
    groups = len(names)
    return float(math.sqrt(groups / (groups - 1) * float(sums @ sums)) / len(values))


def _t(freedom: int, level: float) -> float:
    return float(special.stdtrit(freedom, (1 + level) / 2))
