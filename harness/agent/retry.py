"""The attempts at a case: whether and when another one follows, and what is then left of the case's limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from harness.agent.attempt import AttemptResult
from harness.agent.clock import Clock
from harness.agent.ending import one_line
from harness.agent.evidence import has_acted, last_word
from harness.agent.overflow import checked, follow_up
from harness.agent.watchdog import Stop
from harness.case import Limits
from harness.endings import ENDINGS, Cause, Ending
from harness.gateway.budget import Budget
from harness.results.record import Asked

_FACTOR = 4
_MARGIN_S = 3.0
"""How long to wait after the told reset of a rate limit, because clocks differ."""
_LONGEST_PAUSE_S = 900.0
"""The longest pause before a rate-limited model is asked again if its service does not tell when the limit ends."""
_FROM_THE_START = {Ending.MCP_UNAVAILABLE, Ending.SANDBOX_FAILED}
"""Endings after which the next attempt starts over: the agent worked without its tools, or its folder is suspect."""
_TELLS_LITTLE = {Ending.CLI_CRASHED, Ending.SILENT_EXIT, Ending.SANDBOX_FAILED}
"""Endings of an attempt that say less than an earlier failure of the model, if the attempt did not reach the model."""


class Order(Struct, frozen=True):
    """What an attempt is asked for, and the id of the conversation that it resumes. `None`: it begins a new one.

    `acted`: the agent has acted in an earlier attempt, and what it left is still there.
    """

    asked: Asked = Asked.TASK
    conversation: str | None = None
    acted: bool = False


class CliCan(Struct, frozen=True):
    """What a CLI can do for the next attempt.

    `resume`: it can resume conversations. `kept(conversation)` says whether it has saved the conversation of that id,
    which a killed CLI may not have done. `compact_alone`: it compacts a conversation in a session of its own.
    `totals_go_on`: its totals include those of the conversation that it resumed.
    """

    resume: bool
    kept: Callable[[str], bool]
    compact_alone: bool = False
    totals_go_on: bool = False


Run = Callable[[Limits, Order], AttemptResult]


class Pause(Struct, frozen=True):
    """The wait before the next attempt, in seconds. `for_reset`: it waits for the end of a rate limit."""

    seconds: float
    for_reset: bool = False

    def told(self, now: datetime) -> str:
        """Return what the pause waits for, and the time in the zone of `now` when it ends."""
        end = now + timedelta(seconds=self.seconds)
        at = f"{end:%H:%M:%S}" if end.date() == now.date() else f"{end:%Y-%m-%d %H:%M:%S}"
        what = "waits for the rate limit to end, until" if self.for_reset else "retries at"
        return f"{what} {at}, in {timedelta(seconds=math.ceil(self.seconds))}"


def attempts(
    run: Run,
    limits: Limits,
    *,
    budget: Budget,
    cli: CliCan,
    set_aside: Callable[[int, bool], None],
    waiting: Callable[[Pause], None],
    clock: Clock,
) -> Iterator[AttemptResult]:
    """Yield each attempt as it ends. The last one decides the case.

    `run(limits, order)` makes one attempt with what is left of the case's limits. All attempts share `budget`. If the
    CLI has not saved the conversation to resume, the next attempt begins a new one in the same workspace. Before
    another attempt, `set_aside(number, fresh)` moves the files of attempt `number` (from 1) away. `fresh` says that the
    next attempt begins in an empty workspace. During a wait, `waiting(pause)` is called each second with the rest of
    the wait.
    """
    began = clock.now()
    results: list[AttemptResult] = []
    order, worked, acted, waited_s, waited_for_resets_s = Order(), False, False, 0.0, 0.0
    while True:
        left = remaining(limits, budget, clock.now() - began, waited_for_resets_s)
        result = _labelled(run(left, order), order, waited_s)
        if order.conversation and cli.totals_go_on:
            result.session.reported.resumes(results[-1].session.reported)
        acted = acted or has_acted(result.metered)
        results.append(result)
        after = remaining(limits, budget, clock.now() - began, waited_for_resets_s)
        worked = worked or result.metered.turns > 0  # from the ledger: a killed CLI may not report its first turn
        next_order, pause = _after_overflow(results, after, order, cli, worked=worked), Pause(0.0)
        if next_order is None:
            retry = pause_before_retry(results, after)
            if retry is None:
                results[-1] = _blamed(results, acted=acted, acted_before=order.acted)
                yield _final(results, after, waited_for_resets_s)
                return
            next_order, pause = _retried(result, order, cli, worked=worked), retry
        yield result
        waited_s = _wait(pause, waiting, clock)
        waited_for_resets_s += waited_s if pause.for_reset else 0.0
        fresh = next_order.conversation is None and (result.ending in _FROM_THE_START or not cli.resume or not worked)
        worked, acted = worked and not fresh, acted and not fresh
        order = msgspec.structs.replace(next_order, acted=acted)
        set_aside(len(results), fresh)


def _labelled(result: AttemptResult, order: Order, waited_s: float) -> AttemptResult:
    """Return the result with what its attempt was asked for, and how long it had waited before."""
    resumed = order.conversation is not None
    return checked(msgspec.structs.replace(result, waited_s=waited_s, resumed=resumed, asked=order.asked))


def _after_overflow(
    results: Sequence[AttemptResult], left: Limits, order: Order, cli: CliCan, *, worked: bool
) -> Order | None:
    """Return the order of an attempt that goes on after an overflow, or `None` if none does."""
    asked = follow_up(results, left, compacts_alone=cli.compact_alone)
    if asked is None or not worked or not cli.resume or _used_up(left):
        return None
    conversation = _to_resume(results[-1], order.conversation, cli.kept)
    return Order(asked, conversation) if conversation else None


def _retried(result: AttemptResult, order: Order, cli: CliCan, *, worked: bool) -> Order:
    """Return the order of a retry: to go on, or to begin from the start if that is not possible."""
    if result.ending in _FROM_THE_START or not cli.resume or not worked:
        return Order()
    conversation = _to_resume(result, order.conversation, cli.kept)
    return Order(Asked.GO_ON, conversation) if conversation else Order()


def _to_resume(result: AttemptResult, resumed: str | None, kept: Callable[[str], bool]) -> str | None:
    """Return the conversation to resume after an attempt, or `None` to begin a new one.

    `resumed` is the conversation that the attempt itself resumed, or `None`.
    """
    if resumed and ENDINGS[result.ending].cause is Cause.CLI and not result.metered.requests:
        return None  # the CLI could not resume it
    conversation = (result.session.session_id if result.metered.turns else "") or resumed
    try:
        return conversation if conversation and kept(conversation) else None
    except OSError:  # the agent has left something that cannot be read
        return None


def _wait(pause: Pause, waiting: Callable[[Pause], None], clock: Clock) -> float:
    """Wait, and return how many seconds that took."""
    began = clock.now()
    while (left := began + pause.seconds - clock.now()) > 0:
        waiting(Pause(left, pause.for_reset))
        clock.sleep(min(left, 1.0))
    return clock.now() - began


def pause_before_retry(results: Sequence[AttemptResult], left: Limits) -> Pause | None:
    """Return the wait before the next attempt, or `None` if there is none. `results` are the attempts so far.

    Waiting for the end of a rate limit takes nothing from the wall limit and is no retry: only `wait_s` bounds it. All
    other retries are bounded by `retries`, and their pauses by the wall limit.
    """
    ending = results[-1].ending
    if not ENDINGS[ending].retried or _used_up(left):
        return None
    if ending is Ending.RATE_LIMITED:
        seconds = _until_reset_s(results, left)
        return Pause(seconds, for_reset=True) if seconds <= left.wait_s else None
    retried = sum(ENDINGS[one.ending].retried and one.ending is not Ending.RATE_LIMITED for one in results) - 1
    seconds = left.retry_s * _FACTOR**retried
    return Pause(seconds) if retried < left.retries and seconds < left.wall_s else None


def _until_reset_s(results: Sequence[AttemptResult], left: Limits) -> float:
    """Return how long to wait for the end of a rate limit.

    If the service does not tell, each pause is four times as long as the last one, up to 15 minutes. The pauses also
    grow if the told resets come too early. They begin again at the shortest one after an attempt that had a response.
    """
    in_vain = -1
    for result in reversed(results):
        if result.ending is not Ending.RATE_LIMITED:
            break
        in_vain += 1
        if result.metered.turns:
            break
    grown: float = min(left.retry_s * _FACTOR ** min(in_vain, 10), _LONGEST_PAUSE_S)
    told = results[-1].resets_in_s
    return grown if told is None else max(grown, max(0.0, told) + _MARGIN_S)


def _used_up(left: Limits) -> list[str]:
    """Return the names of the limits of which nothing is left."""
    amounts = {"turns": left.turns, "tokens": left.tokens, "cost_usd": left.cost_usd, "wall_s": left.wall_s}
    return [name for name, amount in amounts.items() if amount is not None and amount <= 0]


def remaining(limits: Limits, budget: Budget, elapsed_s: float, waited_for_resets_s: float = 0.0) -> Limits:
    """Return what is left of the limits. 0 or less means nothing.

    The case has taken `elapsed_s` seconds, and has waited for the end of rate limits for `waited_for_resets_s` of them.
    The budget knows what the attempts have used.
    """
    used = budget.used
    return msgspec.structs.replace(
        limits,
        turns=None if limits.turns is None else limits.turns - used.turns,
        tokens=None if limits.tokens is None else limits.tokens - used.tokens,
        cost_usd=None if limits.cost_usd is None else limits.cost_usd - used.cost_usd,
        wall_s=limits.wall_s - (elapsed_s - waited_for_resets_s),
        wait_s=limits.wait_s - waited_for_resets_s,
    )


def _blamed(results: Sequence[AttemptResult], *, acted: bool, acted_before: bool) -> AttemptResult:
    """Return the last attempt with the ending that decides the case: the best-known cause of its failure.

    An agent that has acted may have caused it. Otherwise, an attempt that did not reach the model tells less than an
    earlier one in which the model failed.
    """
    last = results[-1]
    stop = last_word(Stop(last.ending, last.explanation), acted=acted, acted_before=acted_before)
    if stop.ending is last.ending and stop.ending in _TELLS_LITTLE and not last.metered.requests:
        for earlier in reversed(results[:-1]):
            if ENDINGS[earlier.ending].cause is Cause.MODEL:
                said = f"{earlier.explanation}; the next attempt ended with {last.ending}: {last.explanation}"
                stop = Stop(earlier.ending, one_line(said))
                break
    return msgspec.structs.replace(last, ending=stop.ending, explanation=stop.explanation)


def _final(results: Sequence[AttemptResult], left: Limits, waited_s: float) -> AttemptResult:
    """Return the last attempt. After a rate limit, its explanation says how long the case waited and what it lacks."""
    result = results[-1]
    if result.ending is not Ending.RATE_LIMITED:
        return result
    told, used_up = result.resets_in_s, _used_up(left)
    if told is None:
        when = f"the next attempt would be {_when(_until_reset_s(results, left))}"
    else:
        when = f"it ends {_when(told)}"
    lacks = f"limits.{used_up[0]} is used up" if used_up else f"limits.wait_s has {left.wait_s:.0f} s left"
    waited = f"the case has waited {timedelta(seconds=round(waited_s))} for rate limits"
    return msgspec.structs.replace(result, explanation=f"{result.explanation}; {waited}; {when}, and {lacks}")


def _when(in_s: float) -> str:
    try:
        duration = timedelta(seconds=round(in_s))
        at = datetime.now(UTC).replace(microsecond=0) + duration
    except OverflowError:  # no such date
        return f"in {in_s:.0f} s"
    return f"at {at:%Y-%m-%dT%H:%M:%SZ}, in {duration}"
