"""The exact paired test, for one program that faced the same episodes twice."""

from __future__ import annotations

from collections.abc import Sequence

from scipy import special


def flips(base: Sequence[bool], new: Sequence[bool]) -> tuple[list[int], list[int]]:
    """Return the episodes that only the baseline solved, and those that only the new run solved.

    Raise `ValueError` if the two do not have the same number of episodes.
    """
    pairs = list(enumerate(zip(base, new, strict=True)))
    lost = [index for index, (before, after) in pairs if before and not after]
    return lost, [index for index, (before, after) in pairs if after and not before]


def paired_test(base: Sequence[bool], new: Sequence[bool]) -> tuple[float, float]:
    """Return the one-sided p-values of the exact McNemar test: that the new flags are worse, and better.

    Under the hypothesis that nothing changed, an episode that flipped was equally likely to flip either way.
    """
    lost, won = (len(found) for found in flips(base, new))
    return _at_most(won, lost + won), _at_most(lost, lost + won)


def _at_most(count: int, flipped: int) -> float:
    return float(special.bdtr(count, flipped, 0.5))
