"""The gate says better, worse, same, inconclusive, incomparable, new or gone, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.verdict.comparison import Comparison, Verdict
from harness.verdict.conditions import ConditionChange
from harness.verdict.deciding import until_decided
from harness.verdict.gate import compare
from harness.verdict.rules import Looks, Rules
from harness.verdict.trials import CaseKey, Measure, Trial
from tests.support.trials import KEY, suite, trial, trials

MAZE, DOOR = CaseKey("opencode", "qwen", "maze"), CaseKey("claude", "qwen", "door")
GOOD = [1.0, 0.9, 0.95, 1.0, 0.85, 1.0, 0.9, 1.0, 0.95, 1.0]
BAD = [0.2, 0.0, 0.3, 0.1, 0.25, 0.05]
RULES = Rules()


def rates(found: Sequence[Comparison]) -> dict[str, Comparison]:
    """Return the verdicts on solve rates by level and name."""
    return {f"{one.level} {one.name}": one for one in found if one.measure is Measure.SOLVE_RATE}


def of_case(base: Sequence[Trial], new: Sequence[Trial], rules: Rules = RULES) -> Comparison:
    return rates(compare(base, new, rules))[f"case {KEY}"]


def fixed(solved: Sequence[bool], *, key: CaseKey = KEY, run: str = "base") -> Trial:
    """Return a trial of a scripted model: its program is the same each time."""
    return trial(
        sum(solved) / len(solved), key=key, run=run, solved=tuple(solved), episodes=len(solved), fixed=True, seeds="s"
    )


def test_a_case_that_fell_is_worse_and_one_that_rose_is_better() -> None:
    worse = of_case(trials(GOOD), trials(BAD, run="new"))
    assert worse.verdict is Verdict.WORSE
    assert worse.evidence is not None
    assert worse.evidence.difference == pytest.approx(-0.805)
    assert worse.evidence.p_worse == pytest.approx(1 / 8008), "the most extreme of C(16, 6) ways"
    assert worse.reason == "exact permutation test over programs: p = 0.00012, adjusted 0.00012"
    assert (worse.base.programs, worse.new.programs) == (10, 6)
    assert of_case(trials(BAD), trials(GOOD, run="new")).verdict is Verdict.BETTER


def test_too_few_programs_are_inconclusive_and_say_so() -> None:
    found = of_case(trials(GOOD[:3]), trials([0.0], run="new"))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.endswith("with so few programs no drop would be found")


def test_two_that_cannot_be_told_apart_are_inconclusive_not_same() -> None:
    found = of_case(trials([*GOOD, 0.3, 0.5]), trials([*GOOD[:4], 0.3], run="new"))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.evidence is not None
    assert found.evidence.detectable is not None
    assert f"a drop of {found.evidence.detectable:.2f} is found with 80% chance" in found.reason


def test_same_takes_an_equivalence_test() -> None:
    found = of_case(trials([0.9, 0.95, 0.9, 0.85] * 5), trials([0.9, 0.85, 0.9, 0.95] * 5, run="new"))
    assert found.verdict is Verdict.SAME
    assert found.reason.startswith("within ±0.10 (p = ")


def test_cases_of_one_side_only_are_new_or_gone() -> None:
    found = rates(compare(trials(GOOD, key=MAZE), trials(GOOD, key=DOOR, run="new"), RULES))
    assert found[f"case {DOOR}"].verdict is Verdict.NEW
    assert found[f"case {MAZE}"].verdict is Verdict.GONE
    assert found["backend claude"].verdict is Verdict.NEW
    assert found["suite all"].evidence is None


class TestConditions:
    """A comparison names what makes it unfair."""

    OLD: ClassVar = {"cli": "1.0", "context": "8192", "sandbox": "bubblewrap"}

    def test_every_difference_is_named(self) -> None:
        new = trials(GOOD, run="new", conditions={"cli": "1.1", "context": None, "sandbox": "bubblewrap"})
        found = of_case(trials(GOOD, conditions=self.OLD), new)
        assert found.verdict is Verdict.INCOMPARABLE
        assert [change.name for change in found.differing] == ["cli", "context"]
        assert found.reason == "different conditions: cli (1.0 → 1.1); context (8192 → unknown)"

    @pytest.mark.parametrize("name", ["cli", "context", "sandbox"])
    def test_each_condition_alone_is_enough(self, name: str) -> None:
        new = trials(GOOD, run="new", conditions=self.OLD | {name: "other"})
        found = rates(compare(trials(GOOD, conditions=self.OLD), new, RULES))
        assert {one.verdict for one in found.values()} == {Verdict.INCOMPARABLE}
        assert [change.name for change in found[f"case {KEY}"].differing] == [name]

    def test_an_allowed_difference_is_compared_and_reported(self) -> None:
        new = trials(BAD, run="new", conditions=self.OLD | {"cli": "1.1"})
        found = of_case(trials(GOOD, conditions=self.OLD), new, Rules(allow=frozenset({"cli"})))
        assert found.verdict is Verdict.WORSE
        assert [str(change) for change in found.drift] == ["cli (1.0 → 1.1)"]

    def test_nights_before_a_change_do_not_count(self) -> None:
        base = trials([0.0] * 4, run="monday", conditions=self.OLD)
        base += trials(GOOD, run="tuesday", conditions=self.OLD | {"cli": "1.1"})
        found = of_case(base, trials(BAD, run="new", conditions=self.OLD | {"cli": "1.1"}))
        assert (found.verdict, found.left_out, found.base.programs) == (Verdict.WORSE, 4, 10)

    def test_new_trials_that_differ_from_each_other_compare_with_nothing(self) -> None:
        new = [*trials(BAD, run="new", conditions=self.OLD), trial(0.1, run="new", replicate=9, conditions={})]
        assert of_case(trials(GOOD, conditions=self.OLD), new).verdict is Verdict.INCOMPARABLE


class TestMissing:
    """Infrastructure endings are missing data."""

    def test_more_than_the_stated_share_is_inconclusive(self) -> None:
        found = of_case(trials(GOOD), trials([0.0, None, None], run="new"))
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.reason == "2 of 3 replicates of the new run are missing (model_error 2)"
        assert found.evidence is None

    def test_it_says_how_far_the_answer_could_move(self) -> None:
        found = of_case(trials([0.8, 1.0]), trials([0.9, None], run="new"))
        assert found.bounds == pytest.approx((0.45 - 0.9, 0.95 - 0.9))
        assert of_case(trials(GOOD), trials(GOOD, run="new")).bounds is None

    def test_a_missing_replicate_never_counts_as_0(self) -> None:
        with_gaps = of_case(trials([*GOOD, None]), trials([*BAD, None], run="new"))
        without = of_case(trials(GOOD), trials(BAD, run="new"))
        assert with_gaps.evidence == without.evidence
        assert (with_gaps.base.missing, with_gaps.new.missing) == (1, 1)


class TestOneProgram:
    """A scripted model writes the same program each time, so that episodes are compared one by one."""

    def test_a_broken_policy_of_one_backend_is_found_and_only_there(self) -> None:
        keys = [CaseKey(backend, "scripted", env) for backend in ("a", "b", "c") for env in ("maze", "door")]
        base = [fixed([True] * 20, key=key) for key in keys]
        new = [fixed([key.backend != "b"] * 20, key=key, run="new") for key in keys]
        found = rates(compare(base, new, RULES))
        worse = {name for name, one in found.items() if one.verdict is Verdict.WORSE}
        assert {"case b-scripted-maze", "case b-scripted-door", "backend b"} <= worse
        assert not {name for name in worse if name.startswith(("case a", "case c", "backend a", "backend c"))}
        broken = found["case b-scripted-maze"]
        assert broken.lost == tuple(range(20))
        assert broken.reason.startswith("exact paired test over episodes: p = 9.5e-07")

    def test_flips_both_ways_are_not_worse(self) -> None:
        found = of_case([fixed([True, False] * 10)], [fixed([False, True] * 10, run="new")])
        assert found.verdict is Verdict.INCONCLUSIVE
        assert (len(found.lost), len(found.won)) == (10, 10)

    def test_the_same_submission_counts_as_one_program(self) -> None:
        flags = (True,) * 10 + (False,) * 10
        base = trials([0.5, 0.5], solved=flags, program="abc", seeds="s")
        found = of_case(base, trials([0.5], run="new", solved=flags, program="abc", seeds="s"))
        assert found.evidence is not None
        assert found.evidence.test == "exact paired test over episodes"

    @pytest.mark.parametrize("change", [{"program": "other"}, {"seeds": "other"}, {"seeds": None}, {"solved": None}])
    def test_other_programs_or_episodes_are_not_paired(self, change: dict[str, str | None]) -> None:
        same = {"solved": (True,) * 10 + (False,) * 10, "program": "abc", "seeds": "s"}
        base = trials([0.5, 0.5], run="base", key=KEY, **same)
        found = of_case(base, trials([0.5], run="new", key=KEY, **same | change))
        assert found.evidence is not None
        assert found.evidence.test == "exact permutation test over programs"


class TestGroups:
    """A small drop everywhere is seen by the group, and then by its cases."""

    KEYS: ClassVar = [CaseKey("opencode", model, f"e{number}") for model in ("m1", "m2") for number in range(10)]

    def test_a_model_that_fell_is_worse_although_no_case_is(self) -> None:
        base = suite({key: [0.9, 0.8, 1.0, 0.7, 1.0, 0.8, 0.9] for key in self.KEYS}, run="base")
        new = suite({key: [0.6, 0.8] if key.model == "m1" else [0.9, 0.9] for key in self.KEYS}, run="new")
        found = rates(compare(base, new, RULES))
        assert found["model m1"].verdict is Verdict.WORSE
        assert found["model m1"].reason.startswith("exact permutation test over programs, stratified by case")
        assert found["model m2"].verdict is not Verdict.WORSE
        assert {one.verdict for one in found.values() if one.level == "case"} == {Verdict.INCONCLUSIVE}

    def test_a_case_within_a_flagged_group_competes_with_fewer(self) -> None:
        rows = {key: [0.9, 0.8, 1.0, 0.7, 1.0, 0.8, 0.9] for key in self.KEYS}
        small = {key: [0.6, 0.5, 0.4] if key == self.KEYS[0] else [0.9, 0.8, 0.9] for key in self.KEYS}
        large = {key: [0.6, 0.5, 0.4] if key.model == "m1" else [0.9, 0.8, 0.9] for key in self.KEYS}
        name = f"case {self.KEYS[0]}"
        one = rates(compare(suite(rows, run="base"), suite(small, run="new"), RULES))[name]
        all_of_them = rates(compare(suite(rows, run="base"), suite(large, run="new"), RULES))[name]
        assert one.verdict is Verdict.INCONCLUSIVE
        assert all_of_them.verdict is Verdict.WORSE

    def test_incomparable_cases_are_left_out_of_their_group(self) -> None:
        base = suite(dict.fromkeys(self.KEYS, GOOD), run="base", conditions={"cli": "1"})
        new = [
            replace(one, conditions={"cli": "2" if one.key.model == "m1" else "1"})
            for one in suite(dict.fromkeys(self.KEYS, GOOD), run="new")
        ]
        found = rates(compare(base, new, RULES))
        assert found["model m1"].verdict is Verdict.INCOMPARABLE
        assert found["suite all"].new.cases == 10


def test_costs_are_gated_on_their_own() -> None:
    base = [replace(one, cost_usd=1.0 + one.replicate / 100, turns=10) for one in trials([1.0] * 10)]
    new = [replace(one, cost_usd=3.0 + one.replicate / 100, turns=10) for one in trials([1.0] * 10, run="new")]
    found = {one.measure: one for one in compare(base, new, RULES) if one.level == "case"}
    assert set(found) == {Measure.SOLVE_RATE, Measure.COST, Measure.TURNS}, "nothing measured the others"
    assert found[Measure.COST].verdict is Verdict.WORSE
    assert found[Measure.TURNS].verdict is Verdict.SAME


class TestUntilDecided:
    """More replicates go where they can decide something."""

    LOOKS = Rules(looks=Looks(first=2))
    KEYS: ClassVar = [CaseKey("opencode", "qwen", f"e{number}") for number in range(20)]

    def nights(self, fallen: float) -> tuple[list[Trial], list[Trial]]:
        """Return a baseline, and a night in which the first case fell."""
        base = suite({key: [*GOOD, 1.0, 0.9] for key in self.KEYS}, run="base")
        night = {key: [fallen, fallen] if key == self.KEYS[0] else [1.0, 0.9] for key in self.KEYS}
        base = [replace(one, replicate=1 + one.replicate % 2, run=f"n{one.replicate // 2}") for one in base]
        return base, suite(night, run="new")

    def test_the_case_that_seems_worse_gets_replicates_until_it_is(self) -> None:
        base, new = self.nights(0.3)
        for _ in range(10):
            wanted = [one for one in until_decided(base, new, self.LOOKS) if one.worth_it]
            if not wanted:
                break
            assert [one.key for one in wanted] == [self.KEYS[0]]
            new.append(trial(0.3, key=self.KEYS[0], run="new", replicate=1 + len(new) - 38))
        found = rates(compare(base, new, self.LOOKS))[f"case {self.KEYS[0]}"]
        assert found.verdict is Verdict.WORSE
        assert "looks" in found.reason
        assert 4 <= found.new.programs < 12
        assert rates(compare(base, new, self.LOOKS))["suite all"].new.programs == 40, "added ones do not count"

    def test_a_case_that_recovers_gets_no_more(self) -> None:
        base, new = self.nights(0.3)
        new += [trial(1.0, key=self.KEYS[0], run="new", replicate=number) for number in (3, 4)]
        [first] = [one for one in until_decided(base, new, self.LOOKS) if one.key == self.KEYS[0]]
        assert not first.worth_it
        assert first.reason.endswith("it probably did not get worse")

    def test_the_budget_is_kept(self) -> None:
        base, new = self.nights(0.3)
        no_budget = Rules(looks=Looks(first=2, budget=0.0))
        assert until_decided(base, new, no_budget)[0].reason == "the budget of 0% more sessions is used up"

    def test_a_baseline_that_can_decide_nothing_gets_none(self) -> None:
        base = trials([1.0], run="base")
        [advice] = until_decided(base, trials([0.0, 0.0], run="new"), self.LOOKS)
        assert not advice.worth_it
        few = until_decided(base * 1, trials([0.0, 0.0], run="new"), Rules(looks=Looks(first=2, promising=1.0)))
        assert few[0].reason == "even 12 replicates against 1 of the baseline could not decide it"

    def test_a_program_that_does_not_vary_gets_none(self) -> None:
        [advice] = until_decided([fixed([True] * 20)], [fixed([True] * 18 + [False] * 2, run="new")], self.LOOKS)
        assert advice.reason == "each replicate has the same program"

    def test_it_needs_looks(self) -> None:
        with pytest.raises(ValueError, match="needs rules with looks"):
            until_decided([], [], RULES)


RATES = st.lists(st.one_of(st.none(), st.integers(0, 20).map(lambda solved: solved / 20)), max_size=4)
NIGHTS = st.dictionaries(st.sampled_from([MAZE, DOOR, KEY, CaseKey("claude", "gpt", "maze")]), RATES)


@settings(max_examples=60)
@given(base=NIGHTS, new=NIGHTS, looks=st.booleans())
def test_any_two_runs_get_a_verdict_for_each_case_and_group(
    base: dict[CaseKey, list[float | None]], new: dict[CaseKey, list[float | None]], looks: bool
) -> None:
    rules = Rules(looks=Looks(first=2, last=3) if looks else None)
    runs = suite(base, run="base", turns=3), suite(new, run="new", turns=3)
    found = compare(*runs, rules)
    keys = {one.key for one in (*runs[0], *runs[1])}
    assert {one.name for one in found if one.level == "case"} == {str(key) for key in keys}
    assert all(one.reason for one in found)
    assert found == compare(runs[0][::-1], runs[1][::-1], rules), "the order of records does not matter"
    mirrored = rates(compare(runs[1], runs[0], Rules()))
    swap = {Verdict.WORSE: Verdict.BETTER, Verdict.BETTER: Verdict.WORSE, Verdict.NEW: Verdict.GONE}
    swap[Verdict.GONE] = Verdict.NEW
    for name, one in rates(compare(*runs, Rules())).items():
        assert mirrored[name].verdict is swap.get(one.verdict, one.verdict)


def test_what_a_missing_replicate_does_not_know_is_no_difference() -> None:
    known, unknown = {"cli": "2.0", "seeds": "s"}, {"cli": "2.0", "seeds": None}
    lost = replace(trial(None, run="new", replicate=9), conditions=unknown)
    new = [lost, *trials(BAD, run="new", conditions=known)]
    assert of_case(trials(GOOD, conditions=known), new).verdict is Verdict.WORSE
    assert of_case([replace(lost, run="base"), *trials(GOOD, conditions=known)], new).left_out == 0
    other = [replace(one, conditions={"cli": "2.1", "seeds": None}) if one.missing else one for one in new]
    assert of_case(trials(GOOD, conditions=known), other).verdict is Verdict.INCOMPARABLE, "what it does know counts"
    graded = [replace(one, conditions=unknown) for one in trials(BAD, run="new")]
    assert of_case(trials(GOOD, conditions=known), graded).verdict is Verdict.INCOMPARABLE


def test_a_digest_is_shown_by_its_beginning() -> None:
    change = ConditionChange("prompt", ("0123456789ab" + "f" * 52, None), ("sha256:fedcba987654" + "0" * 52,))
    assert str(change) == "prompt (0123456789ab…, unknown → sha256:fedcba987654…)"
