"""Retries follow the table, keep the time and the rest of the limits, and continue the conversation."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import events as ev
from backends.session import fold
from harness.agent.attempt import AttemptResult
from harness.agent.retry import CliCan, Order, Pause, attempts, remaining
from harness.case import Limits
from harness.endings import ENDINGS, Ending
from harness.gateway.budget import Amounts, Budget
from harness.gateway.ledger import Metered
from harness.gateway.messages import TokenCounts
from harness.results.record import Asked
from tests.support.fakes import FakeClock

LIMITS = Limits(turns=10, tokens=1000, cost_usd=1.0, wall_s=100, wait_s=1000, retries=2, retry_s=2)


def result(
    ending: Ending,
    *,
    turns: int = 1,
    resets_in_s: float | None = None,
    tokens: int = 0,
    reported_usd: float = 0.0,
    cost_usd: float | None = None,
    tools: frozenset[str] = frozenset(),
) -> AttemptResult:
    """Return an attempt's result as the gateway metered it. `reported_usd` is the CLI's own estimate of its cost."""
    told: list[ev.Event] = []
    for number in range(turns):
        told += [ev.TurnStarted(turn=str(number), session_id="ses_1"), ev.TurnFinished(turn=str(number))]
    return AttemptResult(
        ending=ending,
        explanation="so it was",
        session=fold([*told, ev.SessionFinished(cost_usd=reported_usd)]),
        metered=Metered(requests=turns, turns=turns, input_tokens=tokens, cost_usd=cost_usd, tools_used=tools),
        resets_in_s=resets_in_s,
    )


def spend(budget: Budget, *, turns: int = 0, side_requests: int = 0, tokens: int = 0, cost_usd: float = 0.0) -> None:
    """Use this much of the budget, as one request."""
    reservation = asyncio.run(budget.reserve(Amounts(turns=turns, side_requests=side_requests)))
    reservation.settle(TokenCounts(input_tokens=tokens), cost_usd, counts=True)


class Play:
    """Runs attempts that end as told, each after ten seconds. They spend what they metered, and `charge`."""

    def __init__(
        self,
        results: Iterable[AttemptResult],
        limits: Limits = LIMITS,
        *,
        resumes: bool = True,
        kept: Callable[[str], bool] = lambda _: True,
        compact_alone: bool = False,
        charge: Callable[[Budget], None] = lambda _: None,
    ) -> None:
        self.clock = FakeClock()
        self.budget = Budget.within(limits)
        self.given: list[tuple[Limits, str | None]] = []
        self.asked: list[Asked] = []
        self.acted: list[bool] = []
        self.aside: list[tuple[int, bool]] = []
        self.waits: list[Pause] = []
        self._results = iter(results)
        self._charge = charge
        self.made = list(
            attempts(
                self._run,
                limits,
                budget=self.budget,
                cli=CliCan(resume=resumes, kept=kept, compact_alone=compact_alone),
                set_aside=lambda number, fresh: self.aside.append((number, fresh)),
                waiting=self.waits.append,
                clock=self.clock,
            )
        )

    def _run(self, limits: Limits, order: Order) -> AttemptResult:
        self.given.append((limits, order.conversation))
        self.asked.append(order.asked)
        self.acted.append(order.acted)
        self.clock.time += 10
        made = next(self._results)
        metered = made.metered
        spend(self.budget, turns=metered.turns, tokens=metered.input_tokens, cost_usd=metered.cost_usd or 0.0)
        self._charge(self.budget)
        return made


@given(st.sampled_from([ending for ending in Ending if ending is not Ending.RATE_LIMITED]))
def test_the_table_decides_what_is_retried_and_how_often(ending: Ending) -> None:
    play = Play(itertools.repeat(result(ending)))
    assert len(play.made) == (3 if ENDINGS[ending].retried else 1)


def test_each_wait_is_four_times_the_last_one_and_is_recorded() -> None:
    play = Play(itertools.repeat(result(Ending.MODEL_ERROR)))
    assert [one.waited_s for one in play.made] == [0, 2, 8]
    assert play.clock.time == 3 * 10 + 2 + 8
    assert play.waits == [Pause(left) for left in (2, 1, 8, 7, 6, 5, 4, 3, 2, 1)]


def test_a_retry_continues_the_conversation_with_the_rest_of_the_limits() -> None:
    play = Play([result(Ending.MODEL_ERROR, turns=4, tokens=300), result(Ending.FINISHED)])
    (_, first), (left, second) = play.given
    assert (first, second) == (None, "ses_1")
    assert (left.turns, left.tokens, left.wall_s) == (6, 700, 88)
    assert [one.resumed for one in play.made] == [False, True]
    assert play.aside == [(1, False)]


def test_broken_and_abandoned_answers_count_as_used() -> None:
    play = Play(
        [result(Ending.STALLED, turns=4, tokens=300), result(Ending.FINISHED)],
        charge=lambda budget: spend(budget, turns=1, tokens=50, cost_usd=0.25),
    )
    (_, _), (left, _) = play.given
    assert (left.turns, left.tokens, left.cost_usd) == (5, 650, 0.75)
    nothing_left = Play(itertools.repeat(result(Ending.STALLED)), charge=lambda budget: spend(budget, tokens=1000))
    assert len(nothing_left.made) == 1


def test_the_cost_that_the_cli_reports_is_ignored() -> None:
    priced = result(Ending.MODEL_ERROR, reported_usd=0.75, cost_usd=0.25)
    unpriced = result(Ending.MODEL_ERROR, reported_usd=0.75)
    play = Play([priced, unpriced, result(Ending.FINISHED)])
    assert [limits.cost_usd for limits, _ in play.given] == [1.0, 0.75, 0.75]


def test_a_conversation_survives_an_attempt_without_a_response() -> None:
    play = Play([result(Ending.STALLED), result(Ending.MODEL_ERROR, turns=0), result(Ending.FINISHED)])
    assert [conversation for _, conversation in play.given] == [None, "ses_1", "ses_1"]


def test_a_conversation_that_cannot_be_resumed_begins_anew() -> None:
    assert Play([result(Ending.MODEL_ERROR, turns=0), result(Ending.FINISHED)]).aside == [(1, True)]
    assert Play([result(Ending.MCP_UNAVAILABLE), result(Ending.FINISHED)]).aside == [(1, True)]
    assert Play([result(Ending.CLI_CRASHED), result(Ending.FINISHED)], resumes=False).aside == [(1, True)]


def test_a_conversation_that_was_not_written_begins_anew_in_the_same_workspace() -> None:
    play = Play([result(Ending.CLI_CRASHED), result(Ending.FINISHED)], kept=lambda _: False)
    assert [conversation for _, conversation in play.given] == [None, None]
    assert [one.resumed for one in play.made] == [False, False]
    assert play.aside == [(1, False)]


def test_a_conversation_that_the_cli_cannot_resume_begins_anew() -> None:
    play = Play([result(Ending.MODEL_ERROR), result(Ending.CLI_CRASHED, turns=0), result(Ending.FINISHED)])
    assert [conversation for _, conversation in play.given] == [None, "ses_1", None]
    assert play.aside == [(1, False), (2, False)]


def test_a_crash_in_a_resumed_conversation_does_not_end_it() -> None:
    play = Play([result(Ending.MODEL_ERROR), result(Ending.CLI_CRASHED), result(Ending.FINISHED)])
    assert [conversation for _, conversation in play.given] == [None, "ses_1", "ses_1"]


def test_nothing_is_retried_if_nothing_is_left() -> None:
    assert len(Play([result(Ending.MODEL_ERROR, turns=10)]).made) == 1
    assert len(Play([result(Ending.MODEL_ERROR, tokens=1000)]).made) == 1
    assert len(Play([result(Ending.MODEL_ERROR)], Limits(wall_s=11)).made) == 1
    assert len(Play([result(Ending.MODEL_ERROR)], Limits(retries=0)).made) == 1


def test_waiting_for_a_reset_takes_no_working_time_and_is_no_retry() -> None:
    limited = [result(Ending.RATE_LIMITED, resets_in_s=97) for _ in range(4)]
    play = Play([*limited, result(Ending.FINISHED)])
    assert [one.waited_s for one in play.made] == [0, 100, 100, 100, 100]  # until a few seconds after the reset
    assert [limits.wall_s for limits, _ in play.given] == [100, 90, 80, 70, 60]
    assert [limits.wait_s for limits, _ in play.given] == [1000, 900, 800, 700, 600]
    assert [conversation for _, conversation in play.given] == [None, "ses_1", "ses_1", "ses_1", "ses_1"]
    assert play.waits[0] == Pause(100, for_reset=True)


def test_other_failures_after_a_rate_limit_have_all_their_retries() -> None:
    limited, failed = result(Ending.RATE_LIMITED, resets_in_s=1), result(Ending.MODEL_ERROR)
    play = Play([limited, failed, limited, failed, limited, failed])
    assert [one.waited_s for one in play.made] == [0, 4, 2, 4, 8, 4]
    assert play.made[-1].ending is Ending.MODEL_ERROR


def test_pauses_grow_if_no_reset_is_told_until_the_time_for_waiting_is_used() -> None:
    limits = Limits(wall_s=1000, wait_s=3000, retries=0, retry_s=2)
    play = Play(itertools.repeat(result(Ending.RATE_LIMITED, turns=0)), limits)
    assert [one.waited_s for one in play.made] == [0, 2, 8, 32, 128, 512, 900, 900]
    said = play.made[-1].explanation
    assert "the case has waited 0:41:22 for rate limits; the next attempt would be at 2" in said
    assert said.endswith("in 0:15:00, and limits.wait_s has 518 s left")


def test_pauses_grow_if_the_told_reset_comes_too_early_again_and_again() -> None:
    limits = Limits(wall_s=1000, wait_s=200, retries=0, retry_s=2)
    play = Play(itertools.repeat(result(Ending.RATE_LIMITED, turns=0, resets_in_s=1)), limits)
    assert [one.waited_s for one in play.made] == [0, 4, 8, 32, 128]


def test_a_response_makes_the_pauses_short_again() -> None:
    limited = [result(Ending.RATE_LIMITED, turns=turns) for turns in (0, 0, 1, 0)]
    play = Play([*limited, result(Ending.FINISHED)])
    assert [one.waited_s for one in play.made] == [0, 2, 8, 2, 8]


def test_a_late_reset_is_named_in_the_explanation() -> None:
    early, late = (result(Ending.RATE_LIMITED, resets_in_s=seconds) for seconds in (57, 3600))
    last = Play([early, late]).made[-1]
    assert last.ending is Ending.RATE_LIMITED
    assert "so it was; the case has waited 0:01:00 for rate limits; it ends at 2" in last.explanation
    assert last.explanation.endswith("in 1:00:00, and limits.wait_s has 940 s left")


def test_a_rate_limit_that_outlasts_the_calendar_has_an_explanation_too() -> None:
    (only,) = Play([result(Ending.RATE_LIMITED, resets_in_s=1e15)]).made
    assert "it ends in 1000000000000000 s, and" in only.explanation


def test_nothing_waits_for_a_reset_if_no_working_time_is_left_or_waiting_is_off() -> None:
    limited = result(Ending.RATE_LIMITED, resets_in_s=5)
    (spent,) = Play([limited], Limits(wall_s=10)).made
    assert spent.explanation.endswith("and limits.wall_s is used up")
    assert len(Play([limited], Limits(wait_s=0)).made) == 1


def test_a_pause_tells_when_it_ends() -> None:
    now = datetime(2026, 11, 26, 23, 50, tzinfo=UTC)
    assert Pause(90.5, for_reset=True).told(now) == "waits for the rate limit to end, until 23:51:30, in 0:01:31"
    assert Pause(8).told(now) == "retries at 23:50:08, in 0:00:08"
    assert Pause(3600, for_reset=True).told(now).endswith("until 2026-11-27 00:50:00, in 1:00:00")


@given(st.lists(st.integers(0, 5), max_size=4), st.floats(0, 200))
def test_limits_only_shrink_and_a_missing_limit_stays_missing(tokens: list[int], elapsed_s: float) -> None:
    budget = Budget.within(LIMITS)
    for count in tokens:
        spend(budget, turns=1, tokens=count)
    left = remaining(LIMITS, budget, elapsed_s + 5, 5)
    assert (left.turns, left.tokens, left.wait_s) == (10 - len(tokens), 1000 - sum(tokens), 995)
    assert left.wall_s == pytest.approx(100 - elapsed_s)
    assert remaining(Limits(turns=None), budget, elapsed_s).turns is None


BASH = frozenset({"Bash"})


def test_a_cli_that_fails_to_the_last_is_graded_if_the_agent_has_acted() -> None:
    play = Play([result(Ending.CLI_CRASHED, tools=BASH), *[result(Ending.SILENT_EXIT, turns=0)] * 2])
    assert [one.ending for one in play.made] == [Ending.CLI_CRASHED, Ending.SILENT_EXIT, Ending.CLI_BROKEN]
    assert play.acted == [False, True, True]
    assert "silent_exit: so it was" in play.made[-1].explanation
    assert Play(itertools.repeat(result(Ending.CLI_CRASHED))).made[-1].ending is Ending.CLI_CRASHED


def test_what_the_agent_left_is_blamed_only_while_it_is_still_there() -> None:
    crash, no_box = result(Ending.CLI_CRASHED, tools=BASH), result(Ending.SANDBOX_FAILED, turns=0)
    assert Play([crash, crash, no_box]).made[-1].ending is Ending.CLI_BROKEN
    fresh = Play([crash, no_box, no_box])  # the third attempt began in empty folders
    assert fresh.made[-1].ending is Ending.SANDBOX_FAILED
    assert fresh.acted == [False, True, False]


def test_the_best_known_cause_counts_and_not_the_last() -> None:
    play = Play([result(Ending.MODEL_ERROR, turns=0), *[result(Ending.CLI_CRASHED, turns=0)] * 2])
    assert play.made[-1].ending is Ending.MODEL_ERROR
    assert play.made[-1].explanation == "so it was; the next attempt ended with cli_crashed: so it was"
    reached = Play([result(Ending.MODEL_ERROR, turns=0), *[result(Ending.CLI_CRASHED, turns=1)] * 2])
    assert reached.made[-1].ending is Ending.CLI_CRASHED


def test_a_conversation_that_cannot_be_read_is_not_resumed() -> None:
    def kept(_: str) -> bool:
        raise PermissionError("the agent's folder")

    play = Play([result(Ending.CLI_CRASHED, tools=BASH), result(Ending.FINISHED)], kept=kept)
    assert [conversation for _, conversation in play.given] == [None, None]
    assert play.aside == [(1, False)]
