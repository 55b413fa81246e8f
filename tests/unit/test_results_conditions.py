"""The conditions of a record: what its result depends on, and nothing that varies between replicates."""

from __future__ import annotations

import pytest
from msgspec import structs

from harness.case import Limits
from harness.endings import Ending
from harness.results.conditions import conditions_of
from harness.results.record import CaseUsage, Digests, Record, Timing, UsageTotals, Versions
from tests.support.runs import record, score

ONE = record("claude", "maze", 1, solved=20)


def differing(one: Record, other: Record) -> set[str]:
    first, second = conditions_of(one), conditions_of(other)
    return {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}


def versions(**changes: str) -> Versions:
    return structs.replace(ONE.versions, **changes)


def test_a_seed_key_that_an_older_version_did_not_record_is_no_condition() -> None:
    assert "seed_key" not in conditions_of(ONE)
    assert conditions_of(structs.replace(ONE, seed_key="k"))["seed_key"] == "k"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cli", {"versions": versions(cli="2.1")}),
        ("cli_path", {"versions": versions(cli_path="/opt/claude")}),
        ("model_digest", {"versions": versions(model_digest="sha256:n")}),
        ("sandbox", {"versions": versions(sandbox="none")}),
        ("environment", {"versions": versions(environment="gymnasium 1.2")}),
        ("harness", {"versions": versions(harness="1.1")}),
        ("prompt", {"digests": Digests(prompt="q", instructions="i", tools="t")}),
        ("instructions", {"digests": Digests(prompt="p", instructions="j", tools="t")}),
        ("tools", {"digests": Digests(prompt="p", instructions="i")}),
        ("provider", {"case": structs.replace(ONE.case, provider="other")}),
        ("limits.turns", {"limits": Limits(turns=None)}),
        ("limits.on_overflow", {"limits": Limits(on_overflow="compact")}),
        ("pass_solve_rate", {"pass_solve_rate": 0.9}),
        ("solved_when", {"solved_when": "truncated"}),
        ("max_steps", {"max_steps": 200}),
        ("environment_arguments", {"environment_arguments": {"size": 6}}),
        ("seed_key", {"seed_key": "public"}),
        ("seeds_digest", {"seeds_digest": "other"}),
        ("scripted", {"scripted": True}),
    ],
)
def test_each_condition_has_a_name(name: str, change: dict[str, object]) -> None:
    assert differing(ONE, structs.replace(ONE, **change)) == {name}


def test_what_varies_between_replicates_is_no_condition() -> None:
    other = structs.replace(
        ONE,
        case=structs.replace(ONE.case, id="claude-qwen-maze-r2", replicate=2),
        session="claude-qwen-maze-r2",
        artifacts="claude-qwen-maze-r2",
        started_at="2026-11-26T12:00:00.000+00:00",
        overrides=["suite.replicates=2"],
        ending=Ending.TURN_LIMIT,
        outcome="failed",
        score=score(3),
        usage=CaseUsage(metered=UsageTotals(turns=50)),
        timing=Timing(agent_s=99.0),
        submission={"digest": "another program"},
        warnings=["slow"],
        versions=versions(harness_commit="f" * 40, project_commit="e" * 40),
    )
    assert differing(ONE, other) == set()


def test_pauses_are_no_condition() -> None:
    assert differing(ONE, structs.replace(ONE, limits=Limits(wait_s=1, retry_s=1, grace_s=1))) == set()


def test_a_limit_that_is_not_set_differs_from_one_that_is_not_known() -> None:
    assert conditions_of(structs.replace(ONE, limits=Limits(turns=None)))["limits.turns"] == "no limit"


def test_equal_values_are_equal_however_they_are_written() -> None:
    one = structs.replace(ONE, limits=Limits(wall_s=1800), environment_arguments={"a": 1, "b": [2]})
    other = structs.replace(ONE, limits=Limits(wall_s=1800.0), environment_arguments={"b": [2], "a": 1})
    assert differing(one, other) == set()
