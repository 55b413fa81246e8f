"""The tests of one comparison, of a case or of a group: the same code for both, since a case is a group of one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from harness.verdict.by_night import FEWEST, night_shift
from harness.verdict.contrast import Contrast
from harness.verdict.equivalence import same_rate, same_ratio
from harness.verdict.permutation import Stratum, least_p, paired_stratum, rank_scores, stratum, tails
from harness.verdict.power import smallest_drop, smallest_rise
from harness.verdict.rules import Looks, Rules
from harness.verdict.spread import LEVELS, Spread, program_scores
from harness.verdict.trials import Measure


class Evidence(Struct, frozen=True, kw_only=True):
    """What the tests of a comparison say. A p-value is null if there is no test. `test` names the test.

    `least_worse` and `least_better` are the smallest p-values that these programs could have given. They depend on how
    many programs there are and on their values, but not on which of them are new.
    """

    difference: float
    p_worse: float
    p_better: float
    least_worse: float
    least_better: float
    p_same: float | None
    detectable: float | None
    test: str


def evidence(
    contrasts: Sequence[Contrast], measure: Measure, spread: Spread, rules: Rules, *, level: float
) -> Evidence:
    """Test the contrasts together, each case in a stratum of its own.

    `level` is the p-value at which a comparison of this family is called worse if it is the only one.
    """
    rate = measure is Measure.SOLVE_RATE
    most_episodes = max(one.episodes for one in contrasts)
    found = tails(_stratum(one, measure, spread, most_episodes) for one in contrasts)
    plain = Evidence(
        difference=fmean(one.difference for one in contrasts),
        p_worse=found.low if rate else found.high,
        p_better=found.high if rate else found.low,
        least_worse=found.least_low if rate else found.least_high,
        least_better=found.least_high if rate else found.least_low,
        p_same=same_rate(contrasts, rules.margin, spread) if rate else same_ratio(contrasts, rules.ratio_margin),
        detectable=_detectable(contrasts, measure, spread, rules, level),
        test=_test(contrasts, rate),
    )
    return _over_nights(plain, contrasts, rules, level) if measure is Measure.SECONDS else plain


def _over_nights(plain: Evidence, contrasts: Sequence[Contrast], rules: Rules, level: float) -> Evidence:
    """Return the evidence on seconds, which must also be beyond what the nights of the baseline differ by.

    The larger of both p-values counts, so that the result holds if either test is right.
    """
    found = night_shift(contrasts)
    if found is None:
        test = f"fewer than {FEWEST} nights in the baseline"
        return replace(plain, p_worse=1.0, p_better=1.0, p_same=None, detectable=None, test=test)
    return replace(
        plain,
        p_worse=max(plain.p_worse, found.p_more()),
        p_better=max(plain.p_better, found.p_less()),
        p_same=max(plain.p_same or 0.0, found.p_same(rules.ratio_margin)),
        detectable=max(plain.detectable, found.smallest_rise(level, rules.power)) if plain.detectable else None,
        test=f"{plain.test}, and t test over nights",
    )


def evidence_by_looks(
    one: Contrast, measure: Measure, spread: Spread, rules: Rules, looks: Looks, *, level: float
) -> Evidence:
    """Test a case that got replicates one by one, and pay for each look.

    Each look has its share of the allowance. The p-value is the smallest of all looks, each divided by its share.
    Replicates beyond the last look do not count. What could have been seen is what the last look would have seen, and
    the least p-value is the one of the last look.
    """
    count = min(len(one.new), looks.last)
    last = evidence([replace(one, new=one.new[:count])], measure, spread, rules, level=level)
    final = replace(one, new=(one.new * looks.last)[: looks.last])
    at_last = level * looks.share(looks.last)
    least = min(1.0, least_p([(len(one.base), looks.last)]) / looks.share(looks.last))
    worse, better = [], []
    for seen in range(min(looks.first, count), count + 1):
        part = tails([_stratum(replace(one, new=one.new[:seen]), measure, spread, one.episodes)])
        low, high = (part.low, part.high) if measure is Measure.SOLVE_RATE else (part.high, part.low)
        worse.append(low / looks.share(seen))
        better.append(high / looks.share(seen))
    return replace(
        last,
        p_worse=min(1.0, *worse),
        p_better=min(1.0, *better),
        least_worse=least,
        least_better=least,
        detectable=_detectable([final], measure, spread, rules, at_last),
        test=f"{last.test}, {len(worse)} looks" if len(worse) > 1 else last.test,
    )


def p_now(one: Contrast, spread: Spread) -> float:
    """Return the plain p-value that a case's solve rate is worse, as if it were looked at once."""
    return tails([_stratum(one, Measure.SOLVE_RATE, spread, one.episodes)]).low


def _detectable(
    contrasts: Sequence[Contrast], measure: Measure, spread: Spread, rules: Rules, level: float
) -> float | None:
    if measure is Measure.SOLVE_RATE:
        return smallest_drop(contrasts, spread, level, rules.power)
    return smallest_rise(contrasts, level, rules.power)


@lru_cache(maxsize=4096)  # a case is in four groups and stands alone: five tests
def _stratum(one: Contrast, measure: Measure, spread: Spread, most_episodes: int) -> Stratum:
    if one.paired:
        unit = max(1, round(LEVELS / one.paired.pairs))
        return paired_stratum(len(one.paired.lost), len(one.paired.won), unit)
    if measure is Measure.SOLVE_RATE:
        rates = np.array([[*one.base, *one.new]])
        scores = [int(score) for score in program_scores(rates, one.episodes, spread.concentration, most_episodes)[0]]
    else:
        scores = rank_scores([*one.base, *one.new])
    return stratum(scores[: len(one.base)], scores[len(one.base) :])


def _test(contrasts: Sequence[Contrast], rate: bool) -> str:
    if all(one.paired for one in contrasts):
        name = "exact paired test over episodes"
    else:
        name = "exact permutation test over programs" if rate else "exact rank test over programs"
    return name if len(contrasts) == 1 else f"{name}, stratified by case"
