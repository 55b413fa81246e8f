"""What a case keeps of its attempts, and their sums: a count that nobody told is null, never 0."""

from __future__ import annotations

import pytest

from backends import events as ev
from backends.session import fold
from harness.agent.attempt import AttemptResult
from harness.agent.attempt_record import added_by_model, attempt_record, total_usage
from harness.endings import Ending
from harness.results.record import Attempt, UsageTotals


def attempt(*events: ev.Event) -> Attempt:
    return attempt_record(AttemptResult(ending=Ending.FINISHED, explanation="x", session=fold(events)))


def turn(usage: ev.Usage, cost_usd: float | None = None) -> tuple[ev.Event, ...]:
    return ev.TurnStarted(turn="a"), ev.TurnFinished(turn="a", usage=usage, cost_usd=cost_usd)


def reported(*attempts: Attempt) -> UsageTotals:
    found = total_usage(attempts).reported
    assert found is not None
    return found


TOLD = turn(ev.Usage(input_tokens=3, output_tokens=0, reasoning_tokens=0), cost_usd=0.5)


def test_a_count_that_is_not_told_is_null_and_one_that_is_0_is_0() -> None:
    found = attempt(*TOLD).usage.reported
    assert found == UsageTotals(
        turns=1, tool_calls=0, input_tokens=3, output_tokens=0, reasoning_tokens=0, cost_usd=0.5
    )
    assert attempt(*turn(ev.Usage())).usage.reported == UsageTotals(turns=1, tool_calls=0)


def test_a_sum_is_null_if_an_attempt_with_a_response_does_not_tell_its_part() -> None:
    both = reported(attempt(*TOLD), attempt(*turn(ev.Usage(output_tokens=2))))
    assert (both.turns, both.input_tokens, both.output_tokens, both.cost_usd) == (2, None, 2, None)
    assert both.cache_read_tokens is None


@pytest.mark.parametrize("first", [True, False])
def test_an_attempt_without_a_response_used_nothing(first: bool) -> None:
    attempts = [attempt(), attempt(*TOLD)] if first else [attempt(*TOLD), attempt()]
    assert reported(*attempts) == reported(attempt(*TOLD))
    assert reported(attempt()).input_tokens is None


def test_no_attempt_has_no_usage() -> None:
    assert total_usage([]).reported is None


def test_the_tokens_of_each_model_are_added() -> None:
    one, other = {"a": ev.Usage(input_tokens=1), "b": ev.Usage()}, {"a": ev.Usage(input_tokens=2, output_tokens=3)}
    assert added_by_model(one, other) == {"a": ev.Usage(input_tokens=3, output_tokens=3), "b": ev.Usage()}
