"""The t test over nights, for seconds: all cases of a night share its machine, and a busy one slows them all."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, variance

from msgspec import Struct
from scipy import special

from harness.verdict.contrast import Contrast

FEWEST = 3
"""The fewest nights of a baseline that tell how much nights differ."""


class NightShift(Struct, frozen=True):
    """How far the new night is from the nights of the baseline, as a logarithm: 0.1 for 10% more.

    `error` is the standard error, found from how much the nights of the baseline differ.
    """

    shift: float
    error: float
    freedom: int

    def p_more(self) -> float:
        """Return the one-sided p-value that the new night is higher than a night of the baseline."""
        return self._tail(-self.shift)

    def p_less(self) -> float:
        """Return the one-sided p-value that the new night is lower."""
        return self._tail(self.shift)

    def p_same(self, margin: float) -> float:
        """Return the p-value that the ratio of the night is off by at least the margin: 0.2 for a fifth."""
        return self._tail(abs(self.shift) - math.log1p(margin))

    def smallest_rise(self, level: float, power: float) -> float:
        """Return the smallest rise that a test at this level finds with this power, as a share."""
        needed = special.stdtrit(self.freedom, 1 - level) + special.stdtrit(self.freedom, power)
        return math.expm1(float(needed) * self.error)

    def _tail(self, distance: float) -> float:
        if self.error == 0:
            return float(distance >= 0)
        return float(special.stdtr(self.freedom, distance / self.error))


def night_shift(contrasts: Sequence[Contrast]) -> NightShift | None:
    """Return how far the new night is from those of the baseline, over all these cases.

    A time below a millisecond counts as one. Return null if the baseline has fewer than `FEWEST` nights.
    """
    old, new = defaultdict[str, list[float]](list), []
    for one in contrasts:
        logs = _logs(one.base)
        middle = fmean(logs)  # so that a night in which a slow case is missing does not look fast
        for night in dict.fromkeys(one.nights):
            old[night].append(fmean(log for log, of in zip(logs, one.nights, strict=True) if of == night) - middle)
        new.append(fmean(_logs(one.new)) - middle)
    if len(old) < FEWEST:
        return None
    nights = [fmean(found) for found in old.values()]
    error = math.sqrt(variance(nights) * (1 + 1 / len(nights)))
    return NightShift(fmean(new) - fmean(nights), error, len(nights) - 1)


def _logs(seconds: Sequence[float]) -> list[float]:
    return [math.log(max(value, 0.001)) for value in seconds]
