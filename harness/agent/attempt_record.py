"""Turns the attempts of a case into what the record keeps: each attempt, and their sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backends.events import Usage
from harness.agent.attempt import AttemptResult
from harness.endings import ENDINGS
from harness.results.record import Attempt, CaseUsage, UsageTotals
from harness.results.usage import total, total_usage

__all__ = ["added_by_model", "attempt_record", "total_times", "total_usage"]

_TIMES = ("waited_s", "setup_s", "model_s", "tools_s", "experiment_s")


def attempt_record(result: AttemptResult) -> Attempt:
    """Return one attempt in the form that the record keeps."""
    session = result.session
    return Attempt(
        ending=result.ending,
        cause=ENDINGS[result.ending].cause,
        explanation=result.explanation,
        exit_code=result.exit_code,
        resumed=result.resumed,
        asked=result.asked,
        waited_s=_rounded(result.waited_s),
        setup_s=_rounded(result.setup_s),
        seconds=_rounded(result.agent_s),
        term_s=_rounded(result.term_s),
        kill_s=_rounded(result.kill_s),
        settle_s=_rounded(result.settle_s),
        model_s=_rounded(result.model_s),
        tools_s=None if session.tool_s is None else _rounded(session.tool_s),
        experiment_s=None if session.experiment_s is None else _rounded(session.experiment_s),
        usage=_usage(result),
        quota=result.metered.quota,
    )


def total_times(attempts: Sequence[Attempt]) -> dict[str, float | None]:
    """Return the stages of `Timing` that attempts measure. A stage is `None` if any attempt does not know it."""
    times = {name: total([getattr(attempt, name) for attempt in attempts]) for name in _TIMES}
    return times | {"agent_s": sum(attempt.seconds for attempt in attempts)}


def added_by_model(one: Mapping[str, Usage], other: Mapping[str, Usage]) -> dict[str, Usage]:
    """Return the tokens of both together, by model."""
    return {model: one.get(model, Usage()) + other.get(model, Usage()) for model in {**one, **other}}


def _usage(result: AttemptResult) -> CaseUsage:
    session, metered = result.session, result.metered
    return CaseUsage(
        reported=UsageTotals(
            turns=session.turns,
            tool_calls=session.tool_calls,
            input_tokens=session.usage.input_tokens,
            output_tokens=session.usage.output_tokens,
            cache_read_tokens=session.usage.cache_read_tokens,
            cache_write_tokens=session.usage.cache_write_tokens,
            reasoning_tokens=session.usage.reasoning_tokens,
            cost_usd=session.cost_usd,
        ),
        metered=UsageTotals(
            turns=metered.turns,
            requests=metered.requests,
            tool_calls=metered.tool_calls,
            input_tokens=metered.input_tokens,
            output_tokens=metered.output_tokens,
            cache_read_tokens=metered.cache_read_tokens,
            cache_write_tokens=metered.cache_write_tokens,
            cost_usd=metered.cost_usd,
        ),
    )


def _rounded(seconds: float) -> float:
    return round(seconds, 3)
