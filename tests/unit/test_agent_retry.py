"""Retries follow the table, keep the time and the rest of the limits, and continue the conversation."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable

from hypothesis import given
from hypothesis import strategies as st

from backends import events as ev
from backends.session import fold
from harness.agent.attempt import AttemptResult
from harness.agent.retry import attempts, remaining
from harness.case import Limits
from harness.endings import ENDINGS, Ending
from harness.gateway.budget import Amounts, Budget
from harness.gateway.ledger import Metered
from harness.gateway.messages import TokenCounts
from tests.support.fakes import FakeClock

LIMITS = Limits(turns=10, tokens=1000, cost_usd=1.0, wall_s=100, retries=2, retry_s=2)


def result(
    ending: Ending,
    *,
    turns: int = 1,
    resets_in_s: float | None = None,
    tokens: int = 0,
    reported_usd: float = 0.0,
    cost_usd: float | None = None,
) -> AttemptResult:
    """Return an attempt's result as the gateway metered it. `reported_usd` is the CLI's own estimate of its cost."""
    told: list[ev.Event] = []
    for number in range(turns):
        told += [ev.TurnStarted(turn=str(number), session_id="ses_1"), ev.TurnFinished(turn=str(number))]
    return AttemptResult(
        ending=ending,
        explanation="so it was",
        session=fold([*told, ev.SessionFinished(cost_usd=reported_usd)]),
        metered=Metered(requests=turns, turns=turns, input_tokens=tokens, cost_usd=cost_usd),
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
        charge: Callable[[Budget], None] = lambda _: None,
    ) -> None:
        self.clock = FakeClock()
        self.budget = Budget.within(limits)
        self.given: list[tuple[Limits, str | None]] = []
        self.aside: list[tuple[int, bool]] = []
        self.waits: list[float] = []
        self._results = iter(results)
        self._charge = charge
        self.made = list(
            attempts(
                self._run,
                limits,
                budget=self.budget,
                resumes=resumes,
                kept=kept,
                set_aside=lambda number, fresh: self.aside.append((number, fresh)),
                waiting=self.waits.append,
                clock=self.clock,
            )
        )

    def _run(self, limits: Limits, conversation: str | None) -> AttemptResult:
        self.given.append((limits, conversation))
        self.clock.time += 10
        made = next(self._results)
        metered = made.metered
        spend(self.budget, turns=metered.turns, tokens=metered.input_tokens, cost_usd=metered.cost_usd or 0.0)
        self._charge(self.budget)
        return made


@given(st.sampled_from(Ending))
def test_the_table_decides_what_is_retried_and_how_often(ending: Ending) -> None:
    play = Play(itertools.repeat(result(ending)))
    assert len(play.made) == (3 if ENDINGS[ending].retried else 1)


def test_each_wait_is_four_times_the_last_one_and_is_recorded() -> None:
    play = Play(itertools.repeat(result(Ending.MODEL_ERROR)))
    assert [one.waited_s for one in play.made] == [0, 2, 8]
    assert play.clock.time == 3 * 10 + 2 + 8
    assert play.waits == [2, 1, 8, 7, 6, 5, 4, 3, 2, 1]


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


def test_a_retry_waits_for_the_reset_of_a_rate_limit_if_there_is_time() -> None:
    play = Play([result(Ending.RATE_LIMITED, resets_in_s=60), result(Ending.FINISHED)])
    assert [one.waited_s for one in play.made] == [0, 60]


def test_a_late_reset_is_named_in_the_explanation() -> None:
    (only,) = Play([result(Ending.RATE_LIMITED, resets_in_s=3600)]).made
    assert only.ending is Ending.RATE_LIMITED
    assert "so it was; it ends at 2" in only.explanation
    assert only.explanation.endswith("in 1:00:00, and 90 s are left")


@given(st.lists(st.integers(0, 5), max_size=4), st.floats(0, 200))
def test_limits_only_shrink_and_a_missing_limit_stays_missing(tokens: list[int], elapsed_s: float) -> None:
    budget = Budget.within(LIMITS)
    for count in tokens:
        spend(budget, turns=1, tokens=count)
    left = remaining(LIMITS, budget, elapsed_s)
    assert (left.turns, left.tokens, left.wall_s) == (10 - len(tokens), 1000 - sum(tokens), 100 - elapsed_s)
    assert remaining(Limits(turns=None), budget, elapsed_s).turns is None
