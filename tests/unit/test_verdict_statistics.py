"""What one run says of its cases and groups. `tests/peers` compares the same functions with inspect_ai's."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy import stats

from harness.grading import Score
from harness.results.record import CaseUsage, Timing, UsageTotals
from harness.verdict.discovery import PValue, Shares, adjusted, discovered, divided, hierarchical
from harness.verdict.intervals import bootstrap_interval, clustered_stderr, t_interval, wilson_interval
from harness.verdict.paired import flips, paired_test
from harness.verdict.summaries import pass_at_k, pass_hat_k, summarize_cases, summarize_groups
from harness.verdict.trials import CaseKey, Measure, trial_of
from tests.support.trials import suite, trials
from tests.unit.test_results import record

SAMPLE = [0.9, 0.85, 1.0, 0.2, 0.35, 0.0, 0.6, 0.7, 0.65, 0.5]
CLUSTERS = list("aaabbbbccd")


def exactly(*values: float) -> object:
    return pytest.approx(values if len(values) > 1 else values[0], abs=1e-9)


class TestValuesOfThePeers:
    """Printed by inspect_ai 0.3 and statsmodels 0.15."""

    def test_clustered_error(self) -> None:
        assert clustered_stderr(SAMPLE, CLUSTERS) == exactly(0.1795828499606797)

    def test_pass_at_k(self) -> None:
        assert [pass_at_k(5, 2, k) for k in range(1, 6)] == exactly(0.4, 0.7, 0.9, 1.0, 1.0)

    def test_t_interval(self) -> None:
        found = t_interval(SAMPLE)
        assert found is not None
        assert (found.low, found.high) == exactly(0.34737482636878203, 0.8026251736312181)

    def test_wilson_interval(self) -> None:
        found = wilson_interval(17, 20)
        assert (found.low, found.high) == exactly(0.639581135259243, 0.9476312541037833)

    def test_paired_test(self) -> None:
        worse, better = paired_test([True] * 9 + [False] * 2, [False] * 9 + [True] * 2)
        assert 2 * worse == exactly(0.0654296875)
        assert better > 0.99

    def test_adjusted_p_values(self) -> None:
        assert adjusted([0.001, 0.02, 0.03, 0.2, 0.5, 0.04]) == exactly(0.006, 0.06, 0.06, 0.24, 0.5, 0.06)


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_adjustment_is_that_of_scipy(p_values: list[float]) -> None:
    assert adjusted(p_values) == pytest.approx(stats.false_discovery_control(p_values).tolist())


@given(sample=st.lists(st.integers(0, 20).map(lambda solved: solved / 20), min_size=2, max_size=10))
def test_clusters_of_one_give_the_plain_error_of_a_mean(sample: list[float]) -> None:
    names = [str(number) for number in range(len(sample))]
    assert clustered_stderr(sample, names) == pytest.approx(stats.sem(sample), abs=1e-12)


def test_one_program_tells_nothing_about_the_next() -> None:
    assert t_interval([0.9]) is bootstrap_interval([0.9]) is None
    [one] = summarize_cases(trials([0.85]))
    assert (one.measures[Measure.SOLVE_RATE].t, one.within) == (None, wilson_interval(17, 20))
    assert one.within is not None
    assert one.within.method == "wilson within one program"
    [two] = summarize_cases(trials([0.85, 0.85]))
    assert two.within is None


def test_the_unit_is_the_program_not_the_episode() -> None:
    """Two programs of 20 episodes, one perfect and one useless: 40 episodes do not make the interval narrow."""
    [case] = summarize_cases(trials([1.0, 0.0]))
    rate = case.measures[Measure.SOLVE_RATE]
    assert rate.t is not None
    assert rate.bootstrap is not None
    assert rate.t.high - rate.t.low > 10
    assert (rate.mean, rate.bootstrap.low, rate.bootstrap.high) == (0.5, 0.0, 1.0)


def test_the_bootstrap_is_the_same_in_every_call() -> None:
    assert bootstrap_interval(SAMPLE) == bootstrap_interval(list(SAMPLE))


def test_an_infrastructure_ending_is_missing_and_never_0() -> None:
    [case] = summarize_cases(trials([0.8, None, 1.0, None], passed=True, turns=10))
    assert case.measures[Measure.SOLVE_RATE].mean == pytest.approx(0.9)
    assert case.measures[Measure.TURNS].programs == 2, "the turns of a session that broke are not the agent's"
    assert (case.missing, case.missing_share, case.replicates) == ({"model_error": 2}, 0.5, 4)
    [nothing] = summarize_cases(trials([None, None]))
    assert (nothing.measures, nothing.pass_at, nothing.missing_share) == ({}, (), 1.0)


@given(outcomes=st.lists(st.booleans(), min_size=1, max_size=8), data=st.data())
def test_pass_at_k_is_the_share_of_all_choices_of_k_programs(outcomes: list[bool], data: st.DataObject) -> None:

    k = data.draw(st.integers(1, len(outcomes)))
    chosen = list(combinations(outcomes, k))
    assert pass_at_k(len(outcomes), sum(outcomes), k) == pytest.approx(sum(map(any, chosen)) / len(chosen))
    assert pass_hat_k(len(outcomes), sum(outcomes), k) == pytest.approx(sum(map(all, chosen)) / len(chosen))


@pytest.mark.parametrize("k", [0, 3])
def test_a_k_that_no_data_can_answer_is_an_error(k: int) -> None:
    with pytest.raises(ValueError, match=f"no estimate for k = {k} with 1 of 2"):
        pass_at_k(2, 1, k)


def test_groups_weigh_each_case_alike_and_cluster_by_environment() -> None:
    maze, door = CaseKey("opencode", "qwen", "maze"), CaseKey("opencode", "qwen", "door")
    other = CaseKey("claude", "qwen", "maze")
    run = suite({maze: [1.0, 1.0, 1.0], door: [0.4, None], other: [0.6]}, run="one")
    found = {(group.level, group.name): group for group in summarize_groups(run)}
    assert set(found) == {
        ("suite", "all"), ("backend", "claude"), ("backend", "opencode"),
        ("model", "qwen"), ("environment", "door"), ("environment", "maze"),
    }  # fmt: skip
    whole = found["suite", "all"].measures[Measure.SOLVE_RATE]
    assert whole.mean == pytest.approx(2 / 3)
    assert (whole.cases, whole.environments) == (3, 2)
    assert whole.stderr == pytest.approx(clustered_stderr([1.0, 0.4, 0.6], ["maze", "door", "maze"]))
    assert found["suite", "all"].missing_share == pytest.approx(1 / 6)
    assert found["environment", "maze"].measures[Measure.SOLVE_RATE].stderr is None, "one environment has no spread"


def test_the_second_chance_of_a_case_is_within_a_flagged_group() -> None:
    p_values = {"a": 0.02, "b": 0.02} | {f"other {number}": 0.9 for number in range(8)}
    assert hierarchical(p_values, [], 1.0)["a"] == pytest.approx(0.1)
    assert hierarchical(p_values, [], 0.5)["a"] == pytest.approx(0.2), "half of the allowance"
    assert hierarchical(p_values, [], 0.0)["a"] == 1.0, "no allowance"
    assert hierarchical(p_values, [["a", "b"]], 0.5)["a"] == pytest.approx(0.02), "the group has paid already"
    assert hierarchical(p_values, [["a", "b"]], 0.5)["other 1"] == pytest.approx(1.0)


def test_groups_get_the_allowance_that_no_case_can_use() -> None:
    assert divided([1 / 120] * 60, 0.05) == Shares(1.0, 0.0), "two programs against fourteen"
    assert divided([1 / 120] * 59 + [1e-4], 0.05) == Shares(0.5, 0.5)
    assert divided([], 0.05) == Shares(1.0, 0.0)
    few = {f"case {number}": PValue(0.9, 1 / 120) for number in range(60)}
    many = {f"case {number}": PValue(0.9, 1e-6) for number in range(60)}
    inside = {"m1": ["case 0"], "m2": ["case 1"]}
    assert discovered({"m1": 0.02, "m2": 0.9}, few, inside, 0.05)["m1"] == pytest.approx(0.04)
    assert discovered({"m1": 0.02, "m2": 0.9}, many, inside, 0.05)["m1"] == pytest.approx(0.08)


def test_flips_name_the_episodes() -> None:
    assert flips([True, True, False], [True, False, True]) == ([1], [2])
    with pytest.raises(ValueError, match="shorter"):
        flips([True, True], [True])


def test_a_trial_holds_what_the_record_says() -> None:
    usage = UsageTotals(turns=7, input_tokens=100, output_tokens=20, cache_read_tokens=3, cost_usd=0.5)
    score = Score(solve_rate=0.5, episodes=2, solved=1, crashed=0, timed_out=0, mean_steps=None, mean_reward=None)
    one = replace(
        record("a"),
        score=score,
        outcome="passed",
        usage=CaseUsage(metered=usage),
        timing=Timing(agent_s=9.5),
        submission={"digest": "abc"},
        seeds_digest="def",
    )
    made = trial_of(one, run="tonight", conditions={"cli": "1.2"}, solved=[True, False])
    assert (made.run, made.key.backend, made.replicate) == ("tonight", one.case.backend, one.case.replicate)
    assert (made.solve_rate, made.passed, made.solved) == (0.5, True, (True, False))
    assert (made.program, made.seeds) == ("abc", "def")
    assert [made.value(measure) for measure in Measure] == [0.5, 0.5, 7, 123, 9.5]
    assert made.conditions == {"cli": "1.2"}
    assert trial_of(one, run="tonight", conditions={}, solved=[True]).solved is None, "flags of another grading"
    lost = trial_of(replace(one, score=None), run="tonight", conditions={})
    assert (lost.missing, lost.value(Measure.COST)) == (True, None)


def test_a_case_without_an_agent_is_named_as_pytest_names_it() -> None:
    assert str(CaseKey("submission", "none", "small_maze")) == "submission-small_maze"


def test_starting_pytest_loads_no_scipy() -> None:
    program = "import sys, harness.plugin; print([name for name in ('scipy', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
