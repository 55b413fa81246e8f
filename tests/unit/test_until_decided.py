"""What `--until-decided` asks for after each round, what it says, and what the records of such a run mean later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from harness.baseline import Baseline, compare_runs
from harness.further import FurtherTest, Replicates
from harness.results.record import PlannedReplicates
from harness.results.runs import RunError
from harness.until_decided import UntilDecided
from harness.verdict.comparison import Comparison, Verdict
from harness.verdict.gate import compare
from harness.verdict.reading import read_trials
from harness.verdict.rules import Looks, Rules
from harness.verdict.trials import CaseKey, Measure, Trial
from tests.support.cases import make_case
from tests.support.runs import night, write_run
from tests.support.trials import suite, trial

ROOMS = [f"room{number}" for number in range(8)]
KEYS = {name: CaseKey("claude", "model", name) for name in ("maze", *ROOMS)}
BASE = suite({key: [1.0, 0.95, 1.0, 0.9] * 4 for key in KEYS.values()}, run="base")
RULES = Rules(looks=Looks(first=2))


class Night:
    """A session whose added replicates solve what `added` says, one after the other."""

    def __init__(self, planned: Mapping[str, Sequence[float | None]], added: Mapping[str, Sequence[float]]) -> None:
        self.new = suite({KEYS[name]: rates for name, rates in planned.items()}, run="tonight")
        self._added = {name: iter(rates) for name, rates in added.items()}
        self.said: list[str] = []
        self.rounds: list[list[str]] = []
        cases = [make_case(environment=name, replicate=number) for name in planned for number in (1, 2)]
        nodeids = [f"t.py::test_case[{case.id}]" for case in cases]
        folders = {nodeid: case.id for nodeid, case in zip(nodeids, cases, strict=True)}
        self.decider = UntilDecided(
            lambda: (BASE, self.new),
            RULES,
            Replicates(nodeids, folders, cases, 2),
            say=self.said.append,
            added=lambda tests: self.rounds.append([test.case.id for test in tests]),
        )

    def go_on(self) -> list[FurtherTest]:
        """Ask once, and run what is asked for."""
        tests = self.decider.next_round()
        for test in tests:
            name = test.case.environment.name
            made = trial(next(self._added[name]), key=KEYS[name], run="tonight", replicate=test.case.replicate)
            self.new.append(replace(made, added=True))
        return tests

    def to_the_end(self) -> Night:
        """Ask until nothing more is asked for."""
        while self.go_on():
            pass
        return self


FINE = {name: [1.0, 0.95] for name in ROOMS}


def verdict_on(name: str, base: Sequence[Trial], new: Sequence[Trial]) -> Comparison:
    [found] = [
        one
        for one in compare(base, new, RULES)
        if (one.level, one.name, one.measure) == ("case", str(KEYS[name]), Measure.SOLVE_RATE)
    ]
    return found


def test_a_case_that_got_worse_is_repeated_until_that_is_decided() -> None:
    tonight = Night(
        {**FINE, "maze": [0.1, 0.2]}, {"maze": [0.0, 0.3, 0.1, 0.2, 0.0, 0.1, 0.3, 0.2, 0.1, 0.0]}
    ).to_the_end()
    assert tonight.rounds == [[f"claude-model-maze-r{number}"] for number in range(3, len(tonight.rounds) + 3)]
    assert 1 <= len(tonight.rounds) < 10
    assert verdict_on("maze", BASE, tonight.new).verdict is Verdict.WORSE
    first, *_, last = tonight.said
    assert first == (
        "look 1: 1 case gets one more replicate: claude-model-maze; decided: 0; undecided and not worth one: 8"
    )
    assert last.endswith(": no case gets one more replicate; decided: 1; undecided and not worth one: 8")
    count = len(tonight.rounds)
    assert tonight.decider.closing().lines == [
        f"{count} replicates added in {count + 1} looks",
        f"  claude-model-maze: {count} added, worse",
        "  8 undecided cases got none: p is above 0.1 so far: it probably did not get worse",
    ]


def test_a_case_that_only_began_badly_is_given_up_and_named() -> None:
    tonight = Night({**FINE, "maze": [0.1, 0.2]}, {"maze": [1.0, 1.0, 1.0, 1.0]}).to_the_end()
    assert "given up: claude-model-maze (p is above" in tonight.said[-1]
    told = next(line for line in tonight.decider.closing().lines if "maze" in line)
    assert told.startswith(f"  claude-model-maze: {len(tonight.rounds)} added, inconclusive: p is above")


def test_nothing_is_added_on_an_ordinary_night() -> None:
    tonight = Night(FINE, {}).to_the_end()
    assert tonight.rounds == []
    assert tonight.said == [
        "look 1: no case gets one more replicate; decided: 8; undecided and not worth one: 0",
    ]


def test_a_case_that_cannot_be_tested_is_neither_decided_nor_repeated() -> None:
    tonight = Night({**FINE, "maze": [None, None]}, {}).to_the_end()
    assert tonight.rounds == []
    assert "  1 undecided case got none: 2 of 2 replicates of the new run are missing (model_error 2)" in (
        tonight.decider.closing().lines
    )


def test_a_session_that_was_stopped_says_what_it_could_not_decide() -> None:
    tonight = Night({**FINE, "maze": [0.1, 0.2]}, {"maze": [0.0]})
    assert tonight.decider.closing().lines == [
        "the session stopped before its planned cases were done: no replicate was added"
    ]
    tonight.go_on()
    assert "  claude-model-maze: 1 added, inconclusive: the session was stopped" in tonight.decider.closing().lines


def test_a_case_without_tests_in_this_session_is_named() -> None:
    tonight = Night(FINE, {})
    tonight.new += suite({KEYS["maze"]: [0.1, 0.2]}, run="tonight")
    assert tonight.go_on() == []
    assert "  claude-model-maze: worth one more replicate, but its tests are not part of this session" in (
        tonight.decider.closing().lines
    )


class TestRecords:
    PLANNED = PlannedReplicates(planned=2, most=6)
    MAZE = ("codex", "maze")

    def runs(self, tmp_path: Path, tonight: Sequence[int], **changes: object) -> tuple[Baseline, Path]:
        base = write_run(tmp_path / "base", night({self.MAZE: [20] * 14}))
        new = write_run(tmp_path / "new", night({self.MAZE: tonight}, **changes))
        return Baseline(reference="base", runs=[read_trials(base)], rules=Rules()), new

    def test_a_run_is_judged_by_its_own_looks(self, tmp_path: Path) -> None:
        baseline, new = self.runs(tmp_path, [0, 0, 0, 0], replicates=self.PLANNED)
        compared = compare_runs(baseline, read_trials(new))
        assert compared.rules.looks == Looks(first=2, last=6)
        found = {one.level: one for one in compared.comparisons if one.measure is Measure.SOLVE_RATE}
        assert found["case"].reason.startswith("exact permutation test over programs, 3 looks")
        assert (found["case"].new.programs, found["environment"].new.programs) == (4, 2)

    def test_a_run_with_a_fixed_number_of_replicates_is_looked_at_once(self, tmp_path: Path) -> None:
        baseline, new = self.runs(tmp_path, [0, 0, 0, 0])
        compared = compare_runs(baseline, read_trials(new))
        assert compared.rules.looks is None
        assert {one.new.programs for one in compared.comparisons} == {4}

    def test_a_later_night_uses_only_the_planned_replicates_of_its_baseline(self, tmp_path: Path) -> None:
        _, before = self.runs(tmp_path, [18, 20, 0, 0], replicates=self.PLANNED)
        later = write_run(tmp_path / "later", night({self.MAZE: [20, 20, 20]}))
        baseline = Baseline(reference="new", runs=[read_trials(before)], rules=Rules())
        compared = compare_runs(baseline, read_trials(later))
        assert {
            (one.base.programs, one.base.mean) for one in compared.comparisons if one.measure is Measure.SOLVE_RATE
        } == {(2, 0.95)}

    def test_shards_with_other_rules_cannot_be_compared_as_one_run(self, tmp_path: Path) -> None:
        records = night({self.MAZE: [0, 0]}, replicates=self.PLANNED)
        records += night({("pi", "maze"): [0, 0]}, replicates=PlannedReplicates(planned=2, most=7))
        baseline, _ = self.runs(tmp_path, [0])
        merged = read_trials(write_run(tmp_path / "merged", records))
        with pytest.raises(RunError, match="different numbers of replicates planned or allowed"):
            compare_runs(baseline, merged)
