"""How much programs of one case differ: a beta-binomial model whose spread is pooled over all cases."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVELS = 40
"""The number of steps between the lowest and the highest score of a program."""

_MEANS = (0.1, 0.9)
_CONCENTRATIONS = (1.0, 50.0)
_MANY = 1_000_000  # the widest spread needs no finding


class Spread(Struct, frozen=True):
    """The spread between programs, as the correlation of two episodes of one program.

    0: all programs of a case are equally good, and only episodes differ. 1: a program solves all or nothing. A beta
    distribution of concentration c has the correlation 1 / (c + 1). `freedom` counts the programs that it was found
    from, less one for each case.
    """

    correlation: float = 1.0
    freedom: int = _MANY

    def variance(self, mean: float, episodes: int) -> float:
        """Return the variance of one program's solve rate about the case's mean."""
        return mean * (1 - mean) * (self.correlation + (1 - self.correlation) / episodes)

    @property
    def concentration(self) -> float:
        """The concentration of the beta distribution, kept within what scores can use."""
        return float(np.clip(1 / max(self.correlation, 1e-9) - 1, *_CONCENTRATIONS))


class Programs(Struct, frozen=True):
    """The solve rates of the programs of one case, each over the same number of episodes."""

    rates: tuple[float, ...]
    episodes: int


def pooled_spread(samples: Iterable[Programs]) -> Spread:
    """Return the spread that fits the variance within all samples (the method of moments).

    A sample of a single program does not count. If no sample tells anything, return the widest spread, which is the
    cautious one.
    """
    between = possible = 0.0
    freedom = 0
    for sample in samples:
        count = len(sample.rates)
        if count < 2:
            continue
        mean, variance = float(np.mean(sample.rates)), float(np.var(sample.rates, ddof=1))
        whole = mean * (1 - mean) + variance / count  # an unbiased estimate of m(1 - m)
        freedom += count - 1
        between += (count - 1) * (variance - whole / sample.episodes)
        possible += (count - 1) * whole * (1 - 1 / sample.episodes)
    return Spread(min(1.0, max(0.0, between / possible)), freedom) if possible > 0 else Spread()


def program_scores(rates: Floats, episodes: int, concentration: Floats | float, most_episodes: int) -> Ints:
    """Return the integer score of each program: one row for each case, with the programs of both runs.

    It is the score of the beta-binomial model for a small change of the mean, which finds such a change best. It is
    high for programs that solve more. It weighs the rare results most: if most programs solve all episodes, then to
    solve 10 of 20 instead of 20 says more than to solve 0 instead of 10. All cases of a test have their scores on one
    scale, which the largest number of episodes sets. `concentration` is one number, or a column with one for each row.
    """
    mean = np.clip(rates.mean(axis=1, keepdims=True), *_MEANS)
    score = _slope(rates * episodes, mean, episodes, concentration)
    lowest = _slope(np.zeros_like(mean), mean, episodes, concentration)
    return np.rint((score - lowest) / _step(most_episodes, concentration)).astype(np.int64)


def score_moments(mean: float, centre: float, episodes: int, concentration: float) -> tuple[float, float]:
    """Return the mean and the variance of the score of a program whose case has this mean.

    `centre` is the mean that the scores are made for.
    """
    solved = np.arange(episodes + 1.0)
    won, lost = mean * concentration, (1 - mean) * concentration
    if won <= 0 or lost <= 0:
        chances = (solved == (0 if won <= 0 else episodes)).astype(float)
    else:
        ways = -special.betaln(solved + 1, episodes - solved + 1) - np.log(episodes + 1)
        chances = np.exp(ways + special.betaln(solved + won, episodes - solved + lost) - special.betaln(won, lost))
    score = _slope(solved, np.clip(centre, *_MEANS), episodes, concentration) / _step(episodes, concentration)
    middle = float(chances @ score)
    return middle, float(chances @ (score - middle) ** 2)


def _step(episodes: int, concentration: Floats | float) -> Floats:
    """Return the size of one step of the scale, so that the highest score is at most `LEVELS`."""
    high = np.array(_MEANS[1])
    ends = [_slope(np.array(float(end)), high, episodes, concentration) for end in (0, episodes)]
    return np.asarray((ends[1] - ends[0]) / LEVELS)


def _slope(solved: Floats, mean: Floats, episodes: int, concentration: Floats | float) -> Floats:
    """Return how the logarithm of the model's likelihood rises with the mean, but for a constant."""
    won = special.digamma(solved + mean * concentration)
    lost = special.digamma(episodes - solved + (1 - mean) * concentration)
    return np.asarray(won - lost)
