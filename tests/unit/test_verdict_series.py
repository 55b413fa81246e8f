"""What one run says in the history, and which runs it holds."""

from __future__ import annotations

import msgspec
import pytest

from harness.endings import Cause, Ending
from harness.results.entries import entries_of
from harness.results.history import IndexedRun, PastRun
from harness.results.record import Attempt, CaseUsage, PlannedReplicates, Record, UsageTotals
from harness.verdict.series import Point, overview, point_of, series_of, without_parts
from tests.support.runs import night, record

_STARTED = "2026-11-25T01:00:00.000+00:00"


def past(*records: Record, name: str = "run", suite: str | None = None) -> PastRun:
    lines = [msgspec.json.encode(one) for one in records]
    return PastRun(IndexedRun(name, _STARTED, suite, 0), entries_of(lines).entries)


def point(*records: Record) -> Point:
    return point_of(past(*records))


def attempt(ending: Ending) -> Attempt:
    return Attempt(
        ending=ending, cause=Cause.MODEL, explanation="", exit_code=1, seconds=1.0, kill_s=0.0, usage=CaseUsage()
    )


def test_means_give_each_case_the_same_weight() -> None:
    records = night({("codex", "maze"): [20, 10, 0], ("codex", "door"): [20]})
    assert (point(*records).solve_rate, point(*records).cases, point(*records).sessions) == (0.75, 2, 4)


def test_what_infrastructure_ended_is_missing_and_never_a_zero() -> None:
    found = point(*night({("codex", "maze"): [20, None], ("codex", "door"): [None]}))
    assert (found.solve_rate, found.missing, found.cost_usd, found.turns, found.seconds) == (1.0, 2, 0.01, 9.0, 30.0)
    nothing = point(*night({("codex", "maze"): [None]}))
    assert (nothing.solve_rate, nothing.cost_usd, nothing.turns, nothing.seconds) == (None, None, None, None)
    assert nothing.flake_rate == 1.0


def test_a_measure_that_is_not_known_is_none() -> None:
    free = record("codex", "maze", 1, solved=20, usage=CaseUsage(reported=UsageTotals(turns=3)))
    assert (point(free).cost_usd, point(free).turns) == (None, 3.0)


def test_a_replicate_that_was_added_to_an_undecided_case_does_not_count() -> None:
    planned, added = (
        msgspec.structs.replace(one, replicates=PlannedReplicates(planned=1, most=4))
        for one in night({("codex", "maze"): [20, 0]})
    )
    assert (point(planned, added).solve_rate, point(planned, added).sessions) == (1.0, 1)


def test_a_session_that_infrastructure_disturbed_is_a_flake() -> None:
    steady = record("codex", "maze", 1, solved=4)
    retried = [attempt(Ending.RATE_LIMITED), attempt(Ending.FINISHED)]
    assert point(steady).flake_rate == 0.0
    assert point(steady, record("codex", "maze", 2, solved=20, attempts=retried)).flake_rate == 0.5
    assert point(record("codex", "maze", 1, solved=20, attempts=[attempt(Ending.CONTEXT_OVERFLOW)])).flake_rate == 0.0


def test_an_earlier_session_that_was_run_again_costs_nothing_here() -> None:
    once = record("codex", "maze", 1, solved=20, attempts=[attempt(Ending.FINISHED)])
    own = {"metered": {"turns": 4, "cost_usd": 0.25}}
    for ending, flake_rate in (("interrupted", 0.0), ("model_error", 1.0)):
        plain = msgspec.to_builtins(once) | {"earlier": [{"ending": ending, "usage": own}]}
        plain["attempts"] = [plain["attempts"][0] | {"usage": own}, plain["attempts"][0] | {"usage": own}]
        found = point_of(
            PastRun(IndexedRun("run", _STARTED, None, 0), entries_of([msgspec.json.encode(plain)]).entries)
        )
        assert (found.turns, found.cost_usd, found.flake_rate) == (8.0, 0.5, flake_rate)


def test_tries_that_differ_are_one_flake_and_tries_that_agree_are_none() -> None:
    tries = [record("codex", "maze", 1, solved=solved, try_number=number) for number, solved in enumerate((4, 20), 1)]
    assert (point(*tries).flake_rate, point(*tries).solve_rate, point(*tries).sessions) == (1.0, 0.2, 1)
    again = [record("codex", "maze", 1, solved=4, try_number=number) for number in (1, 2)]
    assert point(*again).flake_rate == 0.0


@pytest.mark.parametrize(("ending", "outcome"), [(Ending.INTERRUPTED, "error"), (Ending.CLI_MISSING, "skipped")])
def test_what_was_skipped_or_interrupted_is_no_flake(ending: Ending, outcome: str) -> None:
    stopped = record("codex", "maze", 1, solved=None, ending=ending, outcome=outcome)
    assert (point(stopped).flake_rate, point(stopped).missing) == (None, 1)
    assert point(stopped, record("codex", "maze", 2, solved=20)).flake_rate == 0.0


def test_a_shard_of_a_merged_run_is_left_out() -> None:
    shards = [night({("codex", room): [20, 10]}, started_at=_STARTED) for room in ("door", "maze")]
    runs = [
        past(*shards[0], name="shard-1"),
        past(*shards[1], name="shard-2"),
        past(*shards[0], *shards[1], name="merged"),
        past(*shards[0], *shards[1], name="copy"),
        past(*night({("codex", "door"): [20]}, started_at="2026-11-26T01:00:00.000+00:00"), name="next night"),
        past(*night({("codex", "door"): [20]}), name="old, without times"),
    ]
    kept, parts = without_parts(runs)
    assert [one.run.name for one in kept] == ["copy", "next night", "old, without times"]
    assert parts == ["shard-1", "shard-2", "merged"]


def test_the_overview_has_each_suite_with_its_cases() -> None:
    runs = [
        past(*night({("codex", "door"): [20]}), name="1", suite="pr"),
        past(*night({("codex", "door"): [20, 10]}), name="2", suite="nightly"),
        past(*night({("codex", "door"): [0], ("codex", "maze"): [20]}), name="3", suite="nightly"),
        past(*night({("codex", "door"): [0]}), name="4"),
    ]
    told = [
        [(one.kind, one.name, one.suite, [point.run for point in one.points]) for one in suite]
        for suite in overview(runs, {})
    ]
    assert told == [
        [("suite", "", None, ["4"]), ("case", "codex-qwen-door", None, ["4"])],
        [
            ("suite", "nightly", "nightly", ["2", "3"]),
            ("case", "codex-qwen-door", "nightly", ["2", "3"]),
            ("case", "codex-qwen-maze", "nightly", ["3"]),
        ],
        [("suite", "pr", "pr", ["1"]), ("case", "codex-qwen-door", "pr", ["1"])],
    ]
    assert [len(suite[0].points) for suite in overview(runs, {}, last=1)] == [1, 1, 1]


def test_a_series_knows_its_suite_and_tags_and_may_be_cut_to_the_last_runs() -> None:
    runs = [
        past(*night({("codex", "door"): [20]}), name=str(n), suite=("pr", "nightly", "nightly")[n]) for n in range(3)
    ]
    assert series_of("backend", "codex", runs, {}).suite is None
    last = series_of("backend", "codex", runs, {"2": ["release"]}, last=2)
    assert (last.suite, [(one.run, one.tags) for one in last.points]) == ("nightly", [("1", ()), ("2", ("release",))])
