"""When everything in a case happened, and what of a transcript is exported."""

from __future__ import annotations

import pytest

from harness.exports.cases import ExportedCase, shown
from harness.exports.timeline import TimedThread, iso, timed_case
from harness.transcript.turns import MeteredTurn, Notice, Result, Thread, ToolUse, Transcript, Turn
from tests.support.runs import record

RUN = "20261126T110000.000Z-nightly"


def turn(second: int | None, *calls: ToolUse, after_s: float | None = None) -> Turn:
    """Return a turn that began in this second after eleven and took half a second."""
    at = f"2026-11-26T11:00:{second:02}+00:00" if second is not None else ""
    return Turn(
        number=1, parts=calls, metered=None if second is None else MeteredTurn(at=at, model_s=0.5, after_s=after_s)
    )


def call(*, seconds: float | None = None, subagent: Thread | None = None) -> ToolUse:
    return ToolUse(call_id="a", name="Bash", result=Result(output="", seconds=seconds), subagent=subagent)


def timed(*entries: Turn | Notice, started_at: str | None = "2026-11-26T11:00:01+00:00", run: str = RUN) -> TimedThread:
    transcript = Transcript(attempt=1, thread=Thread(entries=entries))
    one = record("claude", "maze", 1, solved=3, started_at=started_at)
    return timed_case(ExportedCase(run=run, record=one, transcripts=(transcript,))).attempts[0].thread


def second(at: int) -> float:
    return float(iso(at)[17:26])


def test_a_turn_lasts_from_its_request_to_its_answer() -> None:
    [one] = timed(turn(5)).turns
    assert (second(one.start), second(one.end), one.known) == (5.0, 5.5, True)


def test_a_call_lasts_as_long_as_the_cli_says_or_else_until_the_next_request() -> None:
    told, untold = timed(turn(5, call(seconds=0.25), call(), after_s=2.0)).turns[0].calls
    assert [(second(one.start), second(one.end), one.known) for one in (told, untold)] == [
        (5.5, 5.75, True),
        (5.5, 7.5, False),
    ]


def test_a_call_lasts_as_long_as_its_subagent() -> None:
    inside = Thread(entries=(turn(6), turn(8)))
    [one] = timed(turn(5, call(subagent=inside), after_s=0.5), turn(9)).turns[0].calls
    assert (second(one.start), second(one.end)) == (5.5, 8.5)
    assert one.subagent
    assert (second(one.subagent.start), second(one.subagent.end)) == (5.5, 8.5)


def test_what_has_no_time_stands_after_what_came_before() -> None:
    thread = timed(turn(5), Notice(kind="retry", text=""), turn(None, call(seconds=1.0)), turn(None))
    first, second_turn, third = thread.turns
    assert (second_turn.start, second_turn.end, second_turn.known) == (first.end, first.end, False)
    assert second(third.start) == 6.5
    [notice] = [entry for entry in thread.entries if entry not in thread.turns]
    assert notice.at == first.end  # type: ignore[union-attr]  # a notice


@pytest.mark.parametrize(
    ("started_at", "run", "began"),
    [
        ("2026-11-26T11:00:01+00:00", RUN, "2026-11-26T11:00:01.000000+00:00"),
        (None, RUN, "2026-11-26T11:00:00.000000+00:00"),
        ("no time", "mine", "2026-11-26T11:00:05.000000+00:00"),
        ("2026-11-26T11:00:09+00:00", RUN, "2026-11-26T11:00:05.000000+00:00"),
    ],
)
def test_a_case_begins_when_the_record_says_or_else_its_run_or_its_first_request(
    started_at: str | None, run: str, began: str
) -> None:
    transcript = Transcript(attempt=1, thread=Thread(entries=(turn(5),)))
    one = record("claude", "maze", 1, solved=3, started_at=started_at)
    assert iso(timed_case(ExportedCase(run=run, record=one, transcripts=(transcript,))).start) == began


def test_names_are_visible_and_subagents_of_subagents_end_somewhere() -> None:
    thread = Thread(entries=(turn(5),))
    for _ in range(30):
        inner = ToolUse(call_id="a", name="\u202eA", subagent=thread)
        thread = Thread(entries=(Turn(number=1, model="\x1bm", parts=(inner,)),))
    levels, there = 0, shown(thread)
    while there.turns and there.calls:
        assert (there.calls[0].name, there.turns[0].model) == ("\\u202eA", "\\u001bm")
        assert there.calls[0].subagent is not None
        levels, there = levels + 1, there.calls[0].subagent
    assert (levels, there) == (12, Thread())
