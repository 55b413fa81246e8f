"""Retries, by the table of endings: whether and when a case is tried again, and what is then left of its limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from harness.agent.attempt import AttemptResult
from harness.agent.clock import Clock
from harness.case import Limits
from harness.endings import ENDINGS, Cause, Ending
from harness.gateway.budget import Budget

_FACTOR = 4
_FROM_THE_START = {Ending.MCP_UNAVAILABLE, Ending.SANDBOX_FAILED}
"""Endings after which the next attempt starts over: the agent worked without its tools, or its folder is suspect."""

Run = Callable[[Limits, str | None], AttemptResult]


def attempts(
    run: Run,
    limits: Limits,
    *,
    budget: Budget,
    resumes: bool,
    kept: Callable[[str], bool],
    set_aside: Callable[[int, bool], None],
    waiting: Callable[[float], None],
    clock: Clock,
) -> Iterator[AttemptResult]:
    """Yield each attempt as it ends. The last one decides the case.

    `run(limits, conversation)` makes one attempt with what is left of the case's limits. It resumes the conversation of
    that id, or begins a new one for `None`. All attempts share `budget`. `resumes` says whether the backend can resume
    conversations. `kept(conversation)` says whether the CLI has saved the conversation: a killed CLI may not have done
    so. If it has not, the next attempt begins a new conversation in the same workspace. Before another attempt,
    `set_aside(number, fresh)` moves the files of attempt `number` (from 1) away. `fresh` says that the next attempt
    begins in an empty workspace. During a wait, `waiting(seconds)` is called each second with the rest of the wait.
    """
    began = clock.now()
    results: list[AttemptResult] = []
    conversation: str | None = None
    worked, waited_s = False, 0.0
    while True:
        left = remaining(limits, budget, clock.now() - began)
        result = msgspec.structs.replace(run(left, conversation), waited_s=waited_s, resumed=conversation is not None)
        results.append(result)
        after = remaining(limits, budget, clock.now() - began)
        wait_s = pause_before_retry(result, len(results), after)
        if wait_s is None:
            yield _final(result, after)
            return
        yield result
        _wait(wait_s, waiting, clock)
        waited_s = wait_s
        worked = worked or result.metered.turns > 0  # from the ledger: a killed CLI may not report its first turn
        fresh = result.ending in _FROM_THE_START or not resumes or not worked
        conversation = None if fresh else _to_resume(result, conversation, kept)
        worked = worked and not fresh
        set_aside(len(results), fresh)


def _to_resume(result: AttemptResult, resumed: str | None, kept: Callable[[str], bool]) -> str | None:
    """Return the conversation to resume after an attempt, or `None` to begin a new one.

    `resumed` is the conversation that the attempt itself resumed, or `None`.
    """
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
    """Return the seconds to wait before the next attempt, or None if there is none. `made` attempts have ended.

    After a rate limit, wait for its reset if that is known. The wait must fit into what is left of the wall limit.
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


def remaining(limits: Limits, budget: Budget, elapsed_s: float) -> Limits:
    """Return what is left of the limits after `elapsed_s` seconds. 0 or less means nothing.

    The budget knows what the attempts have used.
    """
    used = budget.used
    return msgspec.structs.replace(
        limits,
        turns=None if limits.turns is None else limits.turns - used.turns,
        tokens=None if limits.tokens is None else limits.tokens - used.tokens,
        cost_usd=None if limits.cost_usd is None else limits.cost_usd - used.cost_usd,
        wall_s=limits.wall_s - elapsed_s,
    )


def _final(result: AttemptResult, left: Limits) -> AttemptResult:
    """Return the last attempt. After a rate limit, its explanation says when the limit ends, so users can come back."""
    if result.ending is not Ending.RATE_LIMITED or result.resets_in_s is None:
        return result
    seconds = timedelta(seconds=round(result.resets_in_s))
    at = datetime.now(UTC).replace(microsecond=0) + seconds
    said = f"{result.explanation}; it ends at {at:%Y-%m-%dT%H:%M:%SZ}, in {seconds}, and {left.wall_s:.0f} s are left"
    return msgspec.structs.replace(result, explanation=said)
