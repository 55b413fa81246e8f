"""Retries by the table of endings: whether and when a case is tried again, and with what is left of its limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from harness.agent.attempt import AttemptResult
from harness.agent.clock import Clock
from harness.case import Limits
from harness.endings import ENDINGS, Cause, Ending

_FACTOR = 4
_FROM_THE_START = {Ending.MCP_UNAVAILABLE, Ending.SANDBOX_FAILED}
"""Endings whose session must not be resumed: the agent worked without its tools, or its folder cannot be trusted."""

Run = Callable[[Limits, str | None], AttemptResult]


def attempts(
    run: Run,
    limits: Limits,
    *,
    resumes: bool,
    kept: Callable[[str], bool],
    set_aside: Callable[[int, bool], None],
    waiting: Callable[[float], None],
    clock: Clock,
) -> Iterator[AttemptResult]:
    """Yield each attempt as it ends. The last one decides the case.

    `run(limits, conversation)` makes one attempt. It resumes the conversation of that id, or begins a new one (`None`).
    `resumes` says whether the backend can resume at all, `kept(conversation)` whether the CLI has kept that one: a CLI
    that was killed may not have written it yet. A new conversation begins in the workspace as it is. Before another
    attempt, `set_aside(number, fresh)` puts the files of attempt `number` (from 1) away; `fresh` says that the next one
    begins in an empty workspace. `waiting(seconds)` is called each second of a wait with what is left of it.
    """
    began = clock.now()
    results: list[AttemptResult] = []
    conversation: str | None = None
    worked, waited_s = False, 0.0
    while True:
        left = remaining(limits, results, clock.now() - began)
        result = msgspec.structs.replace(run(left, conversation), waited_s=waited_s, resumed=conversation is not None)
        results.append(result)
        after = remaining(limits, results, clock.now() - began)
        wait_s = pause_before_retry(result, len(results), after)
        if wait_s is None:
            yield _final(result, after)
            return
        yield result
        _wait(wait_s, waiting, clock)
        waited_s = wait_s
        worked = worked or result.metered.turns > 0  # by the ledger: a CLI that is killed may not tell its first turn
        fresh = result.ending in _FROM_THE_START or not resumes or not worked
        conversation = None if fresh else _to_resume(result, conversation, kept)
        worked = worked and not fresh
        set_aside(len(results), fresh)


def _to_resume(result: AttemptResult, resumed: str | None, kept: Callable[[str], bool]) -> str | None:
    """Return the conversation to resume after an attempt, which itself `resumed` one or none; `None`: begin anew."""
    if resumed and ENDINGS[result.ending].cause is Cause.CLI and not result.metered.requests:
        return None  # the CLI could not resume it
    conversation = (result.session.session_id if result.metered.turns else "") or resumed
    return conversation if conversation and kept(conversation) else None


def _wait(seconds: float, waiting: Callable[[float], None], clock: Clock) -> None:
    end = clock.now() + seconds
    while (left := end - clock.now()) > 0:
        waiting(left)
        clock.sleep(min(left, 1.0))


def pause_before_retry(result: AttemptResult, made: int, left: Limits) -> float | None:
    """Seconds to wait before the next attempt after `made` of them, or none: there is no other.

    A rate limit waits for its reset where one is told; every wait must lie within what is left of the wall limit.
    """
    used_up = (left.turns, left.tokens, left.cost_usd)
    if not ENDINGS[result.ending].retried or made > left.retries:
        return None
    if any(amount is not None and amount <= 0 for amount in used_up):
        return None
    wait_s: float = left.retry_s * _FACTOR ** (made - 1)
    if result.ending is Ending.RATE_LIMITED and result.resets_in_s is not None:
        wait_s = max(1.0, result.resets_in_s)
    return wait_s if wait_s < left.wall_s else None


def remaining(limits: Limits, results: list[AttemptResult], elapsed_s: float) -> Limits:
    """What these attempts and `elapsed_s` seconds have left of the limits; 0 or less: nothing."""
    turns = sum(result.metered.turns + result.metered.abandoned_turns for result in results)
    tokens = sum(result.metered.input_tokens + result.metered.output_tokens for result in results)
    cost_usd = sum(result.cost_usd for result in results)
    return msgspec.structs.replace(
        limits,
        turns=None if limits.turns is None else limits.turns - turns,
        tokens=None if limits.tokens is None else limits.tokens - tokens,
        cost_usd=None if limits.cost_usd is None else limits.cost_usd - cost_usd,
        wall_s=limits.wall_s - elapsed_s,
    )


def _final(result: AttemptResult, left: Limits) -> AttemptResult:
    """The last attempt; of a rate limit it says when that ends, so that one knows when to come back."""
    if result.ending is not Ending.RATE_LIMITED or result.resets_in_s is None:
        return result
    seconds = timedelta(seconds=round(result.resets_in_s))
    at = datetime.now(UTC).replace(microsecond=0) + seconds
    said = f"{result.explanation}; it ends at {at:%Y-%m-%dT%H:%M:%SZ}, in {seconds}, and {left.wall_s:.0f} s are left"
    return msgspec.structs.replace(result, explanation=said)
