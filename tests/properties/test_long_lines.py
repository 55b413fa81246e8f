"""A payload that is too long to keep costs no event, and little memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from backends import events as ev
from backends.reading.shorten import Shortener
from backends.registry import backend, names
from backends.session import Session
from harness.agent.ending import classify
from harness.agent.stream import LINE_CAP, LineSplitter, StreamReader
from tests.properties.grammar import EVERYTHING, Call, Script, Turn, grammar, leaves_out, scripts

CAP = 32_768
texts = st.text(min_size=1, max_size=20) | st.sampled_from(
    ['"', "\\", "\\n", "x\U0001f642", '{"type":"result"}\n', "é"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts.map(lambda text: text * 100),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


def pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted(cut % (len(text) + 1) for cut in cuts)
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def same_shape(one: Any, other: Any) -> bool:
    """Return whether two values differ only in how long their texts are."""
    if isinstance(one, str) and isinstance(other, str):
        return one.startswith(other.rstrip("\ufffd"))
    if isinstance(one, dict) and isinstance(other, dict):
        return all(map(same_shape, one.values(), other.values()))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_shape, one, other))
    return bool(one == other)


@given(values, st.booleans(), st.lists(st.integers(0, 10**6), max_size=8), st.integers(2000, 6000))
def test_a_shortened_text_is_the_same_json_but_for_the_ends_of_its_strings(
    value: Any, ascii_only: bool, cuts: list[int], room: int
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    shortener = Shortener(room)
    shortened = b"".join(map(shortener.feed, pieces(text, cuts))) + shortener.flush()
    assert len(shortened) <= len(text)
    assert same_shape(value, json.loads(shortened.decode("utf-8", "surrogatepass")))
    whole = Shortener(room)
    assert whole.feed(text) + whole.flush() == shortened


def with_payload(script: Script, payload: str) -> Script:
    """Return the session in which the first call has this payload as its content and its output."""
    turns = list(script.turns)
    for number, turn in enumerate(turns):
        if turn.calls and not turn.calls[0].subagent:
            calls = (structs.replace(turn.calls[0], content=payload, output=payload, command=""), *turn.calls[1:])
            turns[number] = structs.replace(turn, calls=calls)
            break
    return structs.replace(script, turns=tuple(turns))


def read(name: str, lines: list[bytes], size: int) -> Session:
    reader = StreamReader(backend(name), lines=LineSplitter(CAP))
    stream = b"".join(line + b"\n" for line in lines)
    for start in range(0, len(stream), size):
        reader.feed(stream[start : start + size])
    reader.finish()
    return reader.session


def told(session: Session) -> list[Any]:
    counted = (session.turns, session.tool_calls, session.tool_results, session.tool_errors, session.open_calls)
    found = (session.unknown_events, session.malformed_lines, session.unpaired_results, session.last_tool)
    return [*counted, *found, session.usage, session.final, classify(session, exit_code=0, stderr_tail="")]


@pytest.mark.parametrize("name", names())
@given(script=scripts(), text=texts, size=st.integers(1000, 100_000))
def test_a_long_payload_reads_as_the_same_events_as_a_short_one(
    name: str, script: Script, text: str, size: int
) -> None:
    long = grammar(name).lines(with_payload(script, text * (1 + CAP // len(text))))
    short = grammar(name).lines(with_payload(script, text))
    assert told(read(name, long, size)) == told(read(name, short, size))


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("failed", [True, False])
def test_a_result_of_nine_megabytes_is_one_result(name: str, failed: bool) -> None:
    call = Call(id="c", name="read", content="x", output="a \\ line\n" * 900_000, failed=failed)
    script = structs.replace(EVERYTHING, turns=(Turn(id="t", calls=(call,)), Turn(id="u", text="done")))
    lines = grammar(name).lines(script)
    assert max(map(len, lines)) > LINE_CAP
    reader = StreamReader(backend(name))
    reader.feed(b"\n".join(lines) + b"\n")
    session = reader.session
    shown = failed and "tool_errors" not in leaves_out(name)
    assert (session.tool_calls, session.tool_results, session.tool_errors) == (1, 1, int(shown))
    assert (session.malformed_lines, session.unknown_events, session.finished) == (0, 0, True)
    assert reader.lines.truncated_lines >= 1


def test_a_repetition_of_the_whole_session_is_read_whatever_its_length() -> None:
    script = structs.replace(EVERYTHING, turns=tuple(Turn(id=str(n), text="long " * 400) for n in range(24)))
    session = read("pi", grammar("pi").lines(script), 10_000)
    assert (session.turns, session.malformed_lines) == (24, 0)
    assert isinstance(session.final, ev.SessionFinished)
