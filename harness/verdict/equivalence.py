"""When two results are the same: two one-sided tests (TOST), each against a difference as large as the margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

from scipy import special

from harness.verdict.contrast import Contrast
from harness.verdict.spread import Spread


def same_rate(contrasts: Sequence[Contrast], margin: float, spread: Spread) -> float:
    """Return the p-value that the mean difference of solve rates is at least as large as the margin.

    The variance is the one that the pooled spread gives if the difference is just the margin, and the test is a t test
    with the freedom of this spread. So a few programs that all do the same do not count as proof. Programs that are the
    same on both sides get the exact test of their flips.
    """
    paired = [one.paired for one in contrasts if one.paired]
    if len(paired) == len(contrasts):
        pairs = sum(one.pairs for one in paired)
        most = max(sum(len(one.lost) for one in paired), sum(len(one.won) for one in paired))
        return float(special.bdtr(most, pairs, margin))
    difference = fmean(one.difference for one in contrasts)
    errors = {sign: _error(contrasts, sign * margin, spread) for sign in (1, -1)}
    statistics = [(margin + sign * difference) / error for sign, error in errors.items()]
    return float(special.stdtr(spread.freedom, -min(statistics)))


def same_ratio(contrasts: Sequence[Contrast], margin: float) -> float | None:
    """Return the p-value that the geometric mean ratio is off by at least the margin: 0.2 for a fifth more or less.

    It uses Welch's error for each case. Return null if a case has fewer than two programs on a side, or a value of 0.
    """
    logs = [ratio_error(one) for one in contrasts]
    known = [one for one in logs if one is not None]
    if len(known) < len(logs):
        return None
    middle = fmean(difference for difference, _, _ in known)
    error = math.sqrt(sum(square for _, square, _ in known)) / len(known)
    bound, freedom = math.log1p(margin), min(freedom for _, _, freedom in known) * len(known)
    if error == 0:
        return float(abs(middle) >= bound)
    return float(special.stdtr(freedom, (abs(middle) - bound) / error))


def ratio_error(one: Contrast) -> tuple[float, float, int] | None:
    """Return the difference of mean logarithms, its variance, and the degrees of freedom of the smaller side."""
    if min(len(one.base), len(one.new)) < 2 or min(*one.base, *one.new) <= 0:
        return None
    base, new = ([math.log(value) for value in side] for side in (one.base, one.new))
    square = variance(base) / len(base) + variance(new) / len(new)
    return fmean(new) - fmean(base), square, min(len(base), len(new)) - 1


def _error(contrasts: Sequence[Contrast], drop: float, spread: Spread) -> float:
    """Return the standard error of the mean difference if every new mean is lower by `drop`."""
    return math.sqrt(sum(_variance(one, drop, spread) for one in contrasts)) / len(contrasts)


def _variance(one: Contrast, drop: float, spread: Spread) -> float:
    """Return the variance of a case's difference if the new mean is lower by `drop`, and the data otherwise fit."""
    old, new = len(one.base), len(one.new)
    base = (sum(one.base) + sum(one.new) + new * drop) / (old + new)
    base = min(1 + min(0.0, drop), max(0.0, drop, base))
    return spread.variance(base, one.episodes) / old + spread.variance(base - drop, one.episodes) / new
