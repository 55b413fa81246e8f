"""After an overflow, a case goes on as `limits.on_overflow` says: never, in a shortened conversation, or briefly."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import msgspec
import pytest

from backends import events as ev
from backends.session import fold
from harness.agent.attempt import AttemptResult
from harness.case import Limits
from harness.endings import Ending
from harness.results.record import Asked
from tests.unit.test_agent_retry import Play, result

OVERFLOW, CUT = Ending.CONTEXT_OVERFLOW, Ending.OUTPUT_TOKEN_LIMIT
COMPACT = Limits(turns=10, on_overflow="compact")
CONTINUE = Limits(turns=10, on_overflow="continue")


def endings(play: Play) -> list[Ending]:
    return [one.ending for one in play.made]


def compaction(*, succeeded: bool = True) -> AttemptResult:
    """Return how a session ends that had only to compact its conversation."""
    said = "" if succeeded else "Not enough messages to compact."
    told: list[ev.Event] = [ev.Compaction()] * succeeded
    session = fold([*told, ev.SessionFinished(succeeded=True, text=said, session_id="ses_1")])
    return msgspec.structs.replace(result(Ending.FINISHED), session=session)


@pytest.mark.parametrize("limits", [Limits(turns=10), CONTINUE])
def test_an_overflow_ends_the_case_unless_it_is_to_be_compacted(limits: Limits) -> None:
    assert endings(Play([result(OVERFLOW)], limits)) == [OVERFLOW]


@pytest.mark.parametrize("limits", [Limits(turns=10), COMPACT])
def test_a_cut_answer_ends_the_case_unless_it_is_to_be_continued(limits: Limits) -> None:
    assert endings(Play([result(CUT)], limits)) == [CUT]


def test_a_cli_that_compacts_when_it_resumes_goes_on_at_once() -> None:
    play = Play([result(OVERFLOW), result(Ending.FINISHED)], COMPACT)
    assert play.asked == [Asked.TASK, Asked.SHORTENED] == [one.asked for one in play.made]
    assert [(one.resumed, one.waited_s) for one in play.made] == [(False, 0), (True, 0)]
    assert play.aside == [(1, False)]
    assert [limits.turns for limits, _ in play.given] == [10, 9]


def test_a_cli_that_compacts_by_a_command_goes_on_in_the_next_attempt() -> None:
    play = Play([result(OVERFLOW), compaction(), result(Ending.FINISHED)], COMPACT, compact_alone=True)
    assert play.asked == [Asked.TASK, Asked.COMPACT, Asked.SHORTENED]
    assert [conversation for _, conversation in play.given] == [None, "ses_1", "ses_1"]


@pytest.mark.parametrize(
    ("alone", "asked"),
    [
        (False, [Asked.TASK, Asked.SHORTENED, Asked.SHORTENED]),
        (True, [Asked.TASK, Asked.COMPACT, Asked.SHORTENED, Asked.COMPACT, Asked.SHORTENED]),
    ],
)
def test_a_conversation_is_compacted_at_most_twice(alone: bool, asked: list[Asked]) -> None:
    compactions: Iterable[AttemptResult] = [result(OVERFLOW), compaction()] if alone else [result(OVERFLOW)]
    play = Play(itertools.cycle(compactions), COMPACT, compact_alone=alone)
    assert play.asked == asked
    assert play.made[-1].ending is OVERFLOW


def test_a_compaction_that_did_not_happen_is_the_overflow_that_it_was_for() -> None:
    play = Play([result(OVERFLOW), compaction(succeeded=False)], COMPACT, compact_alone=True)
    assert endings(play) == [OVERFLOW, OVERFLOW]
    said = "the CLI did not compact the conversation: Not enough messages to compact."
    assert play.made[-1].explanation == said


def test_a_cut_answer_is_continued_once() -> None:
    play = Play([result(CUT), result(CUT)], CONTINUE)
    assert play.asked == [Asked.TASK, Asked.BRIEFLY]
    assert endings(play) == [CUT, CUT]


def test_going_on_uses_no_retry_and_a_retry_goes_on_as_always() -> None:
    failed = result(Ending.MODEL_ERROR)
    play = Play([result(CUT), failed, failed, result(Ending.FINISHED)], CONTINUE)
    assert play.asked == [Asked.TASK, Asked.BRIEFLY, Asked.GO_ON, Asked.GO_ON]
    assert [one.waited_s for one in play.made] == [0, 0, 2, 8]


@pytest.mark.parametrize(
    "limited", [{"limits": Limits(turns=1, on_overflow="compact")}, {"resumes": False}, {"kept": lambda _: False}]
)
def test_nothing_goes_on_if_no_turn_is_left_or_the_conversation_cannot_be_resumed(limited: dict[str, object]) -> None:
    play = Play([result(OVERFLOW)], **({"limits": COMPACT} | limited))  # type: ignore[arg-type]  # of several types
    assert endings(play) == [OVERFLOW]
