"""The simulation of nights judges as the gate does: its figures are the gate's figures."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from harness.verdict.gate import compare
from harness.verdict.rules import Looks, Rules
from harness.verdict.trials import CaseKey, Measure, Trial
from tests.benchmarks.nights import BASE_NIGHTS, CASES, EPISODES, GROUPS, NAMES, Ints, Setting, changed, draw, judge
from tests.benchmarks.usage_nights import COSTS, Usage, draw_usage, usage_worse

KEYS = [CaseKey(f"b{backend}", f"m{model}", f"e{environment}") for backend, model, environment in NAMES]


def trials(solved: Ints, runs: int) -> list[Trial]:
    """Return the trials of a night, by case and replicate, spread over so many runs."""
    each = solved.shape[1] // runs
    return [
        Trial(
            key=KEYS[case],
            run=f"run {number // each}",
            replicate=1 + number % each,
            ending="finished" if count >= 0 else "model_error",
            solve_rate=int(count) / EPISODES if count >= 0 else None,
            episodes=EPISODES,
        )
        for case, row in enumerate(solved)
        for number, count in enumerate(row)
    ]


@pytest.mark.parametrize("looks", [None, Looks(first=3, last=5)])
def test_a_simulated_night_gets_the_verdicts_of_the_gate(looks: Looks | None) -> None:
    means = [0.9] * len(KEYS)
    fallen = changed(changed(means, GROUPS["m1"], -0.4), [0], -0.7)
    setting = Setting(base=means, new=fallen, nights=2, replicates=3)
    judged = judge(setting, looks)
    base = draw(setting, means, BASE_NIGHTS * 3, salt=1)
    new = draw(setting, fallen, looks.last if looks else 3, salt=2)
    for night in range(2):
        used = judged.used[night]
        fresh = trials(new[night], 1)
        seen = [one for one in fresh if one.replicate <= used[KEYS.index(one.key)]]
        rules = Rules(looks=looks, equivalence=0.0)
        found = compare(trials(base[night], BASE_NIGHTS), seen, rules)
        worse = {one.name for one in found if one.measure is Measure.SOLVE_RATE and one.verdict == "worse"}
        cases = {str(key) for key, flag in zip(KEYS, judged.cases[night], strict=True) if flag}
        groups = {name for name, flag in zip(GROUPS, judged.groups[night], strict=True) if flag}
        assert worse == cases | groups
        assert "m1" in worse


def test_a_simulated_night_of_costs_gets_the_verdicts_of_the_gate() -> None:
    usage = Usage(nights=1, replicates=3, rise=1.5, risen=tuple(GROUPS["m1"]))
    used = draw_usage(usage)
    sides: list[list[Trial]] = []
    for values, nights in ((used.base, BASE_NIGHTS), (used.new, 1)):
        blank = [Trial(key=key, run="", replicate=1, ending="finished", solve_rate=1.0, episodes=1) for key in KEYS]
        found = [
            replace(
                blank[case],
                run=f"night {night}",
                replicate=replicate + 1,
                **{measure: float(values[measure][0, case, night, replicate]) for measure in COSTS},
            )
            for case in range(CASES)
            for night in range(nights)
            for replicate in range(usage.replicates)
        ]
        sides.append([one if one.seconds and one.seconds > 0 else replace(one, solve_rate=None) for one in found])
    verdicts = compare(sides[0], sides[1], Rules(equivalence=0.0))
    worse = {(one.measure, one.name) for one in verdicts if one.measure in COSTS and one.verdict == "worse"}
    names = [*GROUPS, *map(str, KEYS)]
    [judged] = usage_worse(usage)
    assert worse == {(COSTS[row], names[column]) for row, column in zip(*judged.nonzero(), strict=True)}
    assert {(measure, "m1") for measure in COSTS} <= worse
