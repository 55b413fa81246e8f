"""The tests behind a verdict, each against a count by hand, another package, or what it promises."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.verdict.contrast import Contrast, Paired
from harness.verdict.equivalence import same_rate, same_ratio
from harness.verdict.paired import flips
from harness.verdict.permutation import least_p, paired_stratum, rank_scores, stratum, tails
from harness.verdict.power import smallest_drop, smallest_rise
from harness.verdict.rules import Looks
from harness.verdict.spread import LEVELS, Programs, Spread, pooled_spread, program_scores, score_moments
from tests.support.trials import KEY

SCORES = st.lists(st.integers(0, 9), min_size=1, max_size=5)
PERFECT = Spread(1 / 3)  # a beta distribution of concentration 2


def case(base: list[float], new: list[float], episodes: int = 20, paired: Paired | None = None) -> Contrast:
    return Contrast(key=KEY, base=tuple(base), new=tuple(new), episodes=episodes, paired=paired)


@given(base=SCORES, new=SCORES)
def test_the_permutation_test_counts_all_ways_to_choose_the_new_programs(base: list[int], new: list[int]) -> None:
    found = tails([stratum(base, new)])
    sums = [sum(chosen) for chosen in combinations([*base, *new], len(new))]
    assert found.low == pytest.approx(sum(one <= sum(new) for one in sums) / len(sums))
    assert found.high == pytest.approx(sum(one >= sum(new) for one in sums) / len(sums))


@given(cases=st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=3))
def test_strata_permute_only_within_a_case(cases: list[tuple[list[int], list[int]]]) -> None:
    sums = [0]
    for base, new in cases:
        sums = [one + sum(chosen) for one in sums for chosen in combinations([*base, *new], len(new))]
    observed = sum(sum(new) for _, new in cases)
    found = tails(stratum(base, new) for base, new in cases)
    assert found.low == pytest.approx(sum(one <= observed for one in sums) / len(sums))


@given(base=SCORES.filter(lambda found: len(found) > 1), new=SCORES)
def test_ranks_give_the_test_of_mann_and_whitney(base: list[int], new: list[int]) -> None:
    ranks = rank_scores([*base, *new])
    assert ranks == (2 * stats.rankdata([*base, *new]) - 2).astype(int).tolist()
    if len({*base, *new}) == len(base) + len(new):
        theirs = stats.mannwhitneyu(new, base, alternative="less", method="exact").pvalue
        assert tails([stratum(ranks[: len(base)], ranks[len(base) :])]).low == pytest.approx(theirs)


@given(lost=st.integers(0, 12), won=st.integers(0, 12), unit=st.integers(1, 3))
def test_a_paired_stratum_is_the_exact_test_of_flips(lost: int, won: int, unit: int) -> None:
    found = tails([paired_stratum(lost, won, unit)])
    theirs = stats.binomtest(won, lost + won, alternative="less").pvalue if lost + won else 1.0
    assert found.low == pytest.approx(theirs)


@given(chances=st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_flips_are_judged_right_however_hard_each_episode_is(chances: list[float]) -> None:
    """Count all outcomes of one program that plays the same episodes twice, if nothing changed."""
    p_values: list[tuple[float, float]] = []
    for flags in product([True, False], repeat=2 * len(chances)):
        base, new = flags[: len(chances)], flags[len(chances) :]
        weight = math.prod(rate if flag else 1 - rate for rate, flag in zip([*chances, *chances], flags, strict=True))
        lost, won = flips(base, new)
        p_values.append((tails([paired_stratum(len(lost), len(won), 1)]).low, weight))
    for level in {p for p, _ in p_values}:
        assert math.fsum(weight for p, weight in p_values if p <= level) <= level + 1e-9


def test_the_least_p_value_is_that_of_the_most_extreme_result() -> None:
    assert least_p([(14, 2)]) == pytest.approx(1 / 120)
    assert tails([stratum([9] * 14, [0, 0])]).low == pytest.approx(1 / 120)


@given(base=SCORES, new=SCORES)
def test_the_least_p_values_are_those_of_the_best_and_the_worst_choice(base: list[int], new: list[int]) -> None:
    found, ranked = tails([stratum(base, new)]), sorted([*base, *new])
    worst = tails([stratum(ranked[len(new) :], ranked[: len(new)])])
    best = tails([stratum(ranked[: len(base)], ranked[len(base) :])])
    assert (found.least_low, found.least_high) == pytest.approx((worst.low, best.high))


@pytest.mark.parametrize("concentration", [1.0, 2.0, 8.0])
def test_the_pooled_spread_is_that_of_the_programs(concentration: float) -> None:
    chance = np.random.default_rng(1)
    means = np.linspace(0.3, 0.9, 300)
    samples = [
        Programs(tuple(chance.binomial(20, chance.beta(mean * concentration, (1 - mean) * concentration, 4)) / 20), 20)
        for mean in means
    ]
    assert pooled_spread(samples).correlation == pytest.approx(1 / (concentration + 1), abs=0.03)


def test_a_spread_that_nothing_tells_is_the_widest() -> None:
    assert pooled_spread([]).correlation == 1.0
    assert pooled_spread([Programs((0.5,), 20), Programs((1.0, 1.0), 20)]).correlation == 1.0
    assert pooled_spread([Programs((0.5, 0.5, 0.5), 20)]).correlation == 0.0


@given(
    solved=st.lists(st.integers(0, 20), min_size=3, max_size=12),
    concentration=st.floats(1, 50),
)
def test_scores_rise_with_the_rate_and_keep_to_the_scale(solved: list[int], concentration: float) -> None:
    rates = np.array([sorted(solved)]) / 20
    [scores] = program_scores(rates, 20, concentration, 20)
    assert list(scores) == sorted(scores)
    assert 0 <= scores.min() <= scores.max() <= LEVELS
    [shuffled] = program_scores(rates[:, ::-1], 20, concentration, 20)
    assert list(shuffled) == list(scores[::-1]), "it does not matter which run a program is from"


def test_moments_of_scores_are_those_of_drawn_programs() -> None:
    chance = np.random.default_rng(1)
    rates = chance.binomial(20, chance.beta(1.2, 0.8, 40_000)) / 20
    scores = program_scores(np.array([rates]), 20, 2.0, 20)[0]
    middle, variance = score_moments(0.6, float(rates.mean()), 20, 2.0)
    lowest = score_moments(0.0, float(rates.mean()), 20, 2.0)[0]  # scores begin at 0
    assert middle - lowest == pytest.approx(scores.mean(), rel=0.01)
    assert variance == pytest.approx(scores.var(), rel=0.03)


class TestSame:
    """Two one-sided tests against the margin."""

    def test_two_perfect_programs_are_no_proof(self) -> None:
        assert same_rate([case([1.0] * 14, [1.0] * 2)], 0.1, PERFECT) > 0.05

    def test_many_perfect_programs_are(self) -> None:
        assert same_rate([case([1.0] * 100, [1.0] * 50)], 0.1, PERFECT) < 0.05
        assert same_rate([case([1.0] * 14, [1.0] * 2)] * 20, 0.1, PERFECT) < 0.05

    def test_a_difference_of_the_margin_is_never_proven_the_same(self) -> None:
        assert same_rate([case([0.9] * 100, [0.8] * 100)], 0.1, PERFECT) == pytest.approx(0.5)

    @given(
        base=st.lists(st.floats(0, 1), min_size=1, max_size=8), new=st.lists(st.floats(0, 1), min_size=1, max_size=8)
    )
    def test_it_is_symmetric(self, base: list[float], new: list[float]) -> None:
        mirrored = case([1 - rate for rate in base], [1 - rate for rate in new])
        assert same_rate([case(base, new)], 0.1, PERFECT) == pytest.approx(same_rate([mirrored], 0.1, PERFECT))

    def test_one_program_needs_enough_episodes_that_did_not_flip(self) -> None:
        assert same_rate([case([1.0], [1.0], paired=Paired((), (), 20))], 0.1, PERFECT) > 0.05
        assert same_rate([case([1.0], [1.0], 30, Paired((), (), 30))], 0.1, PERFECT) < 0.05

    def test_costs_within_a_fifth_are_the_same(self) -> None:
        base, new = [1.0, 1.1, 0.9, 1.05], [1.02, 0.95, 1.0, 1.1]
        ours = same_ratio([case(base, new)], 0.2)
        assert ours is not None
        assert ours < 0.05
        assert same_ratio([case(base, [2 * cost for cost in new])], 0.2) == pytest.approx(1.0, abs=0.01)
        assert same_ratio([case([1.0], [1.0])], 0.2) is None
        assert same_ratio([case([0.0, 1.0], [1.0, 1.0])], 0.2) is None
        assert same_ratio([case([2.0, 2.0], [2.0, 2.0])], 0.2) == 0.0


class TestSmallestDrop:
    """What a run could have seen."""

    def test_too_few_programs_see_nothing(self) -> None:
        assert smallest_drop([case([0.9] * 14, [0.9] * 2)], PERFECT, 0.0004, 0.8) is None

    def test_more_programs_see_more(self) -> None:
        drops = [smallest_drop([case([0.9] * 7 * n, [0.9] * n)], PERFECT, 0.0004, 0.8) for n in (5, 8, 12, 30)]
        assert None not in drops
        assert drops == sorted(drops, key=lambda drop: -(drop or 0))
        assert len(set(drops)) == 4

    def test_one_program_sees_flips(self) -> None:
        one = smallest_drop([case([1.0], [1.0], paired=Paired((), (), 20))], PERFECT, 0.025, 0.8)
        assert one is not None
        assert stats.binom.sf(5, 20, one) == pytest.approx(0.8, abs=0.01), "six flips make p = 1/64"
        assert smallest_drop([case([1.0], [1.0], 4, Paired((), (), 4))], PERFECT, 0.025, 0.8) is None

    def test_of_a_cost(self) -> None:
        noisy = case([1.0, 2.0, 1.5, 1.2] * 3, [1.1, 1.9, 1.6, 1.3])
        rise = smallest_rise([noisy], 0.01, 0.8)
        assert rise is not None
        assert 0.3 < rise < 2
        assert smallest_rise([case([1.0], [1.0])], 0.01, 0.8) is None


class TestLooks:
    """The allowance for a false alarm is spent over the looks."""

    @given(first=st.integers(1, 6), more=st.integers(0, 10))
    def test_all_shares_together_are_the_allowance(self, first: int, more: int) -> None:
        looks = Looks(first=first, last=first + more)
        shares = [looks.share(count) for count in range(first, first + more + 1)]
        assert math.fsum(shares) == pytest.approx(1)
        assert min(shares) > 0
        assert looks.share(max(1, first - 1)) == shares[0], "a look with a missing replicate is the first look"

    def test_impossible_looks_are_an_error(self) -> None:
        with pytest.raises(ValueError, match="begin with 5 replicates and end with at most 3"):
            Looks(first=5, last=3)
