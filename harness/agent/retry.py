"""Retries by the table of endings: whether and when a case is tried again, and with what is left of its limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from harness.agent.attempt import AttemptResult
from harness.agent.clock import Clock
from harness.case import Limits
from harness.endings import ENDINGS, Ending

_FACTOR = 4
_FROM_THE_START = {Ending.MCP_UNAVAILABLE, Ending.SANDBOX_FAILED}
"""Endings whose session is no good to go on with: the agent worked without its tools, or its folder is not to trust."""

Run = Callable[[Limits, str | None], AttemptResult]


def attempts(
    run: Run,
    limits: Limits,
    *,
    resumes: bool,
    set_aside: Callable[[int, bool], None],
    waiting: Callable[[float], None],
    clock: Clock,
) -> Iterator[AttemptResult]:
    """Each attempt as it ends; the last one decides the case.

    `run(limits, conversation)` makes one attempt, which goes on with the conversation of that id, or begins anew
    (none). Before another one, `set_aside(number, fresh)` puts the files of attempt `number` (from 1) away; `fresh`
    says that the next one begins anew. `resumes` says whether the backend can go on with a conversation at all.
    `waiting(seconds)` is called each second of a wait with what is left of it.
    """
    began = clock.now()
    results: list[AttemptResult] = []
    conversation: str | None = None
    waited_s = 0.0
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
        if result.ending in _FROM_THE_START or not resumes:
            conversation = None
        elif result.metered.turns:  # by the ledger: a CLI that is killed may not have told of its first one
            conversation = result.session.session_id or conversation
        set_aside(len(results), conversation is None)


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
