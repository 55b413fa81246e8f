"""The smallest change that a run could have seen: an answer to "would you have noticed?"."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

from scipy import special

from harness.verdict.contrast import Contrast
from harness.verdict.equivalence import ratio_error
from harness.verdict.permutation import least_p
from harness.verdict.spread import Spread, score_moments


def smallest_drop(contrasts: Sequence[Contrast], spread: Spread, level: float, power: float) -> float | None:
    """Return the smallest drop of the solve rate in all these cases that a test at this level finds with this power.

    `level` is the p-value at which the first verdict falls. Return null if not even a drop to 0 would be found: the
    programs are too few.
    """
    paired = [one.paired for one in contrasts if one.paired]
    if len(paired) == len(contrasts):
        return _smallest_flips(sum(one.pairs for one in paired), level, power)
    cases = [one for one in contrasts if not one.paired]
    if least_p((len(one.base), len(one.new)) for one in cases) > level:
        return None
    highest = fmean(fmean(one.base) for one in cases)
    return _smallest(lambda drop: _power(cases, drop, spread, level) >= power, highest)


def smallest_rise(contrasts: Sequence[Contrast], level: float, power: float) -> float | None:
    """Return the smallest rise of a cost that is found, as a share: 0.3 for 30% more. Return null if it is not known.

    It is that of a normal test of logarithms, which the rank test comes near to.
    """
    errors = [found for one in contrasts if (found := ratio_error(one)) is not None]
    if not errors or least_p((len(one.base), len(one.new)) for one in contrasts) > level:
        return None
    error = math.sqrt(sum(square for _, square, _ in errors)) / len(errors)
    return math.expm1((_z(level) + _z(1 - power)) * error)


def _power(cases: Sequence[Contrast], drop: float, spread: Spread, level: float) -> float:
    """Return the power of the permutation test by a normal approximation.

    The test adds up the scores of the new programs. `gain` is how far this sum falls. `null` is its variance among
    permutations, which the drop itself makes wider, and `true` is its variance among nights.
    """
    gain = null = true = 0.0
    for one in cases:
        old, new = len(one.base), len(one.new)
        total, mean = old + new, fmean(one.base)
        lower = mean - min(drop, mean)
        centre, concentration = (old * mean + new * lower) / total, spread.concentration
        before, wide_before = score_moments(mean, centre, one.episodes, concentration)
        after, wide_after = score_moments(lower, centre, one.episodes, concentration)
        shift = before - after
        gain += shift * old * new / total
        within = ((old - 1) * wide_before + (new - 1) * wide_after + shift**2 * old * new / total) / (total - 1)
        null += within * old * new / total
        true += (old / total) ** 2 * new * wide_after + (new / total) ** 2 * old * wide_before
    if true == 0:
        return float(gain > 0)
    return float(special.ndtr((gain - _z(level) * math.sqrt(null)) / math.sqrt(true)))


def _smallest_flips(pairs: int, level: float, power: float) -> float | None:
    """Return the smallest share of episodes that one program must lose, and wins none back."""
    needed = math.ceil(-math.log2(level))
    if needed > pairs:
        return None
    return _smallest(lambda share: float(special.bdtrc(needed - 1, pairs, share)) >= power, 1.0)


def _smallest(enough: Callable[[float], bool], highest: float) -> float | None:
    """Return the smallest change that is enough, to three digits. Return null if the highest is not."""
    if not enough(highest):
        return None
    low, high = 0.0, highest
    while high - low > 0.0005:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _z(tail: float) -> float:
    return float(-special.ndtri(tail))
