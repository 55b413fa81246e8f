"""Transcripts: every text and every call of a session, in the turns that the totals of the session count."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from backends import events as ev
from backends.registry import backend, names
from backends.session import Session
from harness.agent.stream import StreamReader
from harness.transcript.fold import TranscribedSession
from harness.transcript.turns import Said, Thread, ToolUse, Turn
from tests.properties.test_decode import RECORDED, damaged_lines, streams

any_backend = pytest.mark.parametrize("name", names())


def transcribed(name: str, lines: list[bytes]) -> TranscribedSession:
    session = TranscribedSession()
    reader = StreamReader(backend(name), session)
    reader.feed(b"".join(line + b"\n" for line in lines))
    reader.finish()
    return session


def events(name: str, lines: list[bytes]) -> list[ev.Event]:
    return [event for line in lines for event in backend(name).decode(line)]


def all_turns(thread: Thread) -> Iterator[Turn]:
    for turn in thread.turns:
        yield turn
        for call in turn.calls:
            if call.subagent:
                yield from all_turns(call.subagent)


def parts(thread: Thread) -> Iterator[Said | ToolUse]:
    return (part for turn in all_turns(thread) for part in turn.parts)


@any_backend
@given(data=st.data())
def test_transcript_and_totals_agree(name: str, data: st.DataObject) -> None:
    lines = data.draw(streams(name))
    session = transcribed(name, lines)
    turns = list(all_turns(session.thread))
    numbered = [turn.number for turn in turns if turn.number is not None]
    assert sorted(numbered) == list(range(1, session.turns + 1))
    calls = [part for part in parts(session.thread) if isinstance(part, ToolUse)]
    assert len(calls) == session.tool_calls
    assert sum(call.result is not None for call in calls) == session.tool_results
    assert sum(call.result is not None and call.result.is_error for call in calls) == session.tool_errors
    outputs = [turn.usage.output_tokens for turn in turns if turn.usage.output_tokens is not None]
    assert sum(outputs) <= (session.usage.output_tokens or 0)


@any_backend
@given(data=st.data())
def test_a_transcript_says_every_text_once_in_order(name: str, data: st.DataObject) -> None:
    lines = data.draw(streams(name))
    thread = transcribed(name, lines).thread
    said = whole_texts(events(name, lines))
    for thinking, kind in ((False, ev.Text), (True, ev.Thinking)):
        shown = [part.text for part in parts(thread) if isinstance(part, Said) and part.thinking is thinking]
        assert sorted(shown) == sorted(event.text for event in said if isinstance(event, kind))
    main = [part.text for turn in thread.turns for part in turn.parts if isinstance(part, Said)]
    assert main == [event.text for event in said if event.parent is None]


def whole_texts(told: list[ev.Event]) -> list[ev.Text | ev.Thinking]:
    """Return what the model said, with the pieces of each text joined."""
    said: list[ev.Text | ev.Thinking] = []
    goes_on = False
    for event in told:
        if isinstance(event, ev.Text) and event.piece and goes_on:
            said[-1] = structs.replace(said[-1], text=said[-1].text + event.text)
        elif isinstance(event, ev.Text | ev.Thinking):
            said.append(event)
        goes_on = isinstance(event, ev.Text) or (goes_on and isinstance(event, ev.TurnStarted))
    return said


@any_backend
@given(data=st.data())
def test_damaged_lines_never_break_a_transcript(name: str, data: st.DataObject) -> None:
    lines = data.draw(st.lists(damaged_lines(name), max_size=8))
    session = transcribed(name, lines)
    plain = Session()
    reader = StreamReader(backend(name), plain)
    reader.feed(b"".join(line + b"\n" for line in lines))
    reader.finish()
    assert (session.turns, session.tool_calls, session.usage) == (plain.turns, plain.tool_calls, plain.usage)
    assert len([part for part in parts(session.thread) if isinstance(part, ToolUse)]) >= session.tool_calls


@pytest.mark.parametrize("name", names())
def test_recorded_streams_have_transcripts_with_every_call(name: str) -> None:
    for lines in RECORDED[name]:
        session = transcribed(name, lines)
        assert len([part for part in parts(session.thread) if isinstance(part, ToolUse)]) == session.tool_calls
