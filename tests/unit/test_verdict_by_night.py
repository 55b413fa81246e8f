"""Seconds are judged against how much nights differ: a busy machine slows all cases of a night."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy import stats

from harness.verdict.by_night import night_shift
from harness.verdict.comparison import Comparison, Verdict
from harness.verdict.contrast import Contrast
from harness.verdict.gate import compare
from harness.verdict.rules import Looks, Rules
from harness.verdict.trials import CaseKey, Measure, Trial
from tests.support.trials import KEY, trial

KEYS = [CaseKey("opencode", "qwen", f"e{number}") for number in range(12)]
SECONDS = st.floats(1, 1000)


def night(run: str, seconds: float, replicates: int = 2) -> list[Trial]:
    """Return a night in which each session takes about so many seconds."""
    return [
        trial(1.0, key=key, run=run, replicate=number, seconds=seconds * (1 + 0.01 * number + 0.003 * place))
        for place, key in enumerate(KEYS)
        for number in range(1, replicates + 1)
    ]


def suite(base: list[Trial], new: list[Trial]) -> Comparison:
    """Return the verdict on the seconds of the whole suite."""
    [found] = [one for one in compare(base, new, Rules()) if (one.level, one.measure) == ("suite", Measure.SECONDS)]
    return found


def test_a_night_that_is_as_slow_as_busy_nights_are_is_not_worse() -> None:
    busy = [
        trial
        for number, seconds in enumerate([100, 130, 95, 140, 105, 98, 120])
        for trial in night(f"n{number}", seconds)
    ]
    assert suite(busy, night("tonight", 145)).verdict is Verdict.INCONCLUSIVE
    quiet = [trial for number in range(7) for trial in night(f"n{number}", 100 + number % 3)]
    found = suite(quiet, night("tonight", 145))
    assert found.verdict is Verdict.WORSE
    assert found.reason.startswith("exact rank test over programs, stratified by case, and t test over nights")


def test_fewer_than_three_nights_cannot_tell() -> None:
    found = suite([*night("n1", 100), *night("n2", 101)], night("tonight", 500))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith("fewer than 3 nights in the baseline: p = 1")


@given(nights=st.lists(SECONDS, min_size=3, max_size=8, unique=True), tonight=SECONDS)
def test_the_shift_of_one_case_is_a_t_test_of_one_night_against_the_others(nights: list[float], tonight: float) -> None:
    names = tuple(str(number) for number in range(len(nights)))
    found = night_shift([Contrast(key=KEY, base=tuple(nights), new=(tonight,), episodes=1, nights=names)])
    assert found is not None
    logs = [math.log(value) for value in nights]
    theirs = stats.linregress([0.0] * len(logs) + [1.0], [*logs, math.log(tonight)], alternative="greater")
    assert found.shift == pytest.approx(theirs.slope, abs=1e-9)
    assert found.p_more() == pytest.approx(theirs.pvalue, abs=1e-6)
    assert found.p_more() + found.p_less() == pytest.approx(1)


def test_a_missing_slow_case_does_not_make_a_night_fast() -> None:
    slow = Contrast(key=KEYS[0], base=(1000.0, 1000.0, 1010.0), new=(1000.0,), episodes=1, nights=("a", "b", "c"))
    fast = Contrast(key=KEYS[1], base=(10.0,) * 4, new=(10.0,), episodes=1, nights=("a", "b", "c", "d"))
    found = night_shift([slow, fast])
    assert found is not None
    assert abs(found.shift) < 0.01
    assert found.error < 0.01


def test_equal_nights_and_times_of_zero() -> None:
    same = Contrast(key=KEY, base=(10.0,) * 3, new=(10.0,), episodes=1, nights=("a", "b", "c"))
    found = night_shift([same])
    assert found is not None
    assert (found.p_more(), found.p_less(), found.p_same(0.2)) == (1.0, 1.0, 0.0)
    zero = Contrast(key=KEY, base=(0.0, 1.0, 1.0), new=(1.0,), episodes=1, nights=("a", "b", "c"))
    assert night_shift([zero]) == night_shift([replace(zero, base=(0.001, 1.0, 1.0))])


def test_replicates_that_were_added_tonight_do_not_count_for_seconds() -> None:
    base = [trial for number in range(7) for trial in night(f"n{number}", 100 + number)]
    added = [*night("tonight", 104), trial(1.0, key=KEYS[0], run="tonight", replicate=3, seconds=9000.0)]
    rules = Rules(looks=Looks(first=2))
    found = {one.name: one for one in compare(base, added, rules) if one.measure is Measure.SECONDS}
    assert found[str(KEYS[0])].new.programs == 2
