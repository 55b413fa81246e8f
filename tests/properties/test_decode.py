"""Reading streams: with any bytes, cut anywhere, with any noise in between.

The streams are recorded ones, and whole sessions that hypothesis invents and the grammar of each backend writes down
(`grammar.py`). A new backend only needs a grammar to be tested for every property.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import events as ev
from backends.reading.shorten import Shortener
from backends.registry import backend, names
from backends.session import Session, fold
from harness.agent.ending import classify
from harness.agent.stream import Line, LineSplitter, StreamReader
from harness.case import Limits
from harness.commands.decode import read_session, summary
from harness.endings import Ending
from tests.properties.grammar import EVERYTHING, Script, grammar, leaves_out, scripts, usage_as_shown

CORPUS = Path(__file__).parents[1] / "corpus"
BACKENDS = names()
RECORDED = {
    name: [
        path.read_bytes().split(b"\n")[:-1]
        for path in sorted(CORPUS.glob(f"{name}/*/stream.jsonl"))
        if path.stat().st_size < 20_000
    ]
    for name in BACKENDS
}

LINES = {
    name: [line for lines in (*RECORDED[name], grammar(name).lines(EVERYTHING)) for line in lines if len(line) < 5000]
    for name in BACKENDS
}

any_backend = pytest.mark.parametrize("name", BACKENDS)

numbers = st.integers(-(2**80), 2**80) | st.floats() | st.sampled_from([2**53, -1, 1e308, float("inf"), float("nan")])
junk = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8) | st.sampled_from(["\ud800", "\x00", "\u2028", "1e999"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
RAW_JUNK = (
    *(b"1e999", b"-1e999", b"NaN", b"-Infinity", b"9" * 400, b"-0", b"1.0", b"1E2", b'"\\ud800"', b'"\\udc00\\ud800"'),
    *(b'"\xff"', b'"\xed\xa0\x80"', b"[" * 3000, b"[" * 3000 + b"]" * 3000, b'{"a":' * 3000 + b"1" + b"}" * 3000),
    *(b'{"a":1,"a":2}', b'{"type":"text","type":"tool_use","type":7}', b"{}", b"null", b"tru", b""),
)
NOISE = (
    *(b"", b" \r", b"oops", b"{}", b"[1]", b"null", b'{"type":"never_heard_of"}', b'{"type":7}', b"\xff", b"{" * 40),
    *(b"[" * 3000, b'{"type":"never_heard_of","part":' + b"[" * 3000 + b"]" * 3000 + b"}", b'{"type":"\\ud800"}'),
)


def streams(name: str) -> st.SearchStrategy[list[bytes]]:
    """Draw the lines of an invented session or of a recorded one."""
    made_up = scripts().map(grammar(name).lines)
    return made_up | st.sampled_from(RECORDED[name]) if RECORDED[name] else made_up


@st.composite
def damaged_lines(draw: st.DrawFn, name: str) -> bytes:
    """Draw a line with one to three of its values replaced by anything, as JSON or as bytes."""
    value = json.loads(draw(st.sampled_from(LINES[name])))
    for _ in range(draw(st.integers(1, 3))):
        value = _replaced(draw, value)
    written = json.dumps(value).encode()
    return written.replace(b'"@@"', draw(st.sampled_from(RAW_JUNK))) if b'"@@"' in written else written


def _replaced(draw: st.DrawFn, value: Any) -> Any:
    """Return the value with one part replaced. The part is at the end of a random path into the value."""
    keys: list[Any] = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    if not keys or draw(st.integers(0, 4)) == 0:
        return draw(junk | st.just("@@"))
    changed = copy.copy(value)
    key = draw(st.sampled_from(keys))
    changed[key] = _replaced(draw, value[key])
    return changed


@st.composite
def lines_with_doubled_keys(draw: st.DrawFn, name: str) -> bytes:
    """Draw a line that repeats some of its keys, with other values."""
    line = draw(st.sampled_from(LINES[name]))
    keys = list(json.loads(line))
    again = draw(st.lists(st.tuples(st.sampled_from(keys), junk), min_size=1, max_size=3))
    more = b",".join(json.dumps(key).encode() + b":" + json.dumps(value).encode() for key, value in again)
    return line[:-1] + b"," + more + b"}" if draw(st.booleans()) else b"{" + more + b"," + line[1:]


def decoded(name: str, lines: Iterable[bytes]) -> list[ev.Event]:
    return [event for line in lines for event in backend(name).decode(line)]


def read(name: str, lines: Iterable[bytes]) -> Session:
    return read_session(backend(name), io.BytesIO(b"".join(line + b"\n" for line in lines)))


def counters(session: Session) -> dict[str, float]:
    """Return all counters of a session that only grow. One that is not told is 0."""
    whole = ("turns", "tool_calls", "tool_results", "tool_errors", "subagents", "retries", "denials", "compactions")
    more = ("error_count", "rate_limits", "unpaired_results", "untimed_results", "cost_usd")
    counted = {name: getattr(session, name) for name in (*whole, *more)}
    counted.update(msgspec.to_builtins(session.usage))
    return {name: value or 0 for name, value in counted.items()}


def assert_plain(events: Iterable[ev.Event]) -> None:
    """Check that the events survive JSON exactly. `arguments` may contain a number that another reader would round."""
    for event in events:
        assert msgspec.json.decode(msgspec.json.encode(event), type=ev.Event) == event


def _with_bytes_changed(line: bytes) -> st.SearchStrategy[bytes]:
    place = st.integers(0, len(line))
    return st.builds(
        lambda start, end, noise: line[: min(start, end)] + noise + line[max(start, end) :],
        place,
        place,
        st.binary(max_size=6),
    )


@any_backend
@given(data=st.data())
def test_no_bytes_make_reading_raise(name: str, data: st.DataObject) -> None:
    line = data.draw(st.binary(max_size=80) | st.sampled_from(LINES[name]).flatmap(_with_bytes_changed))
    events = backend(name).decode(line)
    assert_plain(events)
    summary(fold(events), exit_code=0, stderr_tail="")


@any_backend
@given(data=st.data())
def test_no_value_makes_reading_raise(name: str, data: st.DataObject) -> None:
    lines = data.draw(st.lists(damaged_lines(name) | lines_with_doubled_keys(name), max_size=4))
    assert_plain(decoded(name, lines))
    session = read(name, lines)
    exit_code = data.draw(st.sampled_from([None, 0, 1, -9]))
    told = summary(session, exit_code=exit_code, stderr_tail=data.draw(st.text(max_size=20)))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert all(value >= 0 for value in counters(session).values())


@any_backend
@given(data=st.data())
def test_any_chunks_give_the_same_session(name: str, data: st.DataObject) -> None:
    lines = data.draw(streams(name))
    stream = b"\n".join(lines)
    reader, start = StreamReader(backend(name)), 0
    for end in [*sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8))), len(stream)]:
        reader.feed(stream[start:end])
        start = end
    reader.finish()
    assert vars(reader.session) == vars(read(name, lines))


@any_backend
@given(data=st.data())
def test_reading_a_concatenation_concatenates_the_events(name: str, data: st.DataObject) -> None:
    one, two = data.draw(streams(name)), data.draw(streams(name))
    assert decoded(name, one + two) == decoded(name, one) + decoded(name, two)


@any_backend
@given(data=st.data())
def test_noise_changes_no_total(name: str, data: st.DataObject) -> None:
    lines = data.draw(streams(name))
    noise = data.draw(st.lists(st.tuples(st.integers(0, len(lines)), st.sampled_from(NOISE)), max_size=6))
    noisy = list(lines)
    for place, line in sorted(noise, reverse=True):
        noisy.insert(place, line)
    session, clean = read(name, noisy), read(name, lines)
    assert counters(session) == counters(clean)
    told = session.unknown_events + session.malformed_lines - clean.unknown_events - clean.malformed_lines
    assert told == sum(bool(line.strip()) for _, line in noise)


@any_backend
@given(data=st.data())
def test_counters_only_grow_and_no_session_finishes_before_its_end(name: str, data: st.DataObject) -> None:
    lines = data.draw(streams(name))
    session, before = Session(), counters(Session())
    for number, line in enumerate(lines, start=1):
        session.add_line(backend(name).decode(line))
        now = counters(session)
        assert all(now[key] >= before[key] for key in now)
        before = now
        if number < len(lines):
            for exit_code in (None, 0, 1):
                ending, _ = classify(session, exit_code=exit_code, stderr_tail="")
                assert ending is not Ending.FINISHED


@any_backend
@given(script=scripts())
def test_a_session_is_read_as_it_happened(name: str, script: Script) -> None:
    shows = grammar(name).SHOWS
    session = read(name, grammar(name).lines(script))
    shown = Script(turns=script.turns if script.failure is None else script.turns[:-1])
    turns = list(shown.all_turns(subagents="subagent_turns" in shows))
    calls = [call for turn in turns for call in turn.calls]
    assert (session.unknown_events, session.malformed_lines, session.unpaired_results) == (0, 0, 0)
    assert session.turns == (len(turns) if "turns" in shows else 0)
    assert (session.tool_calls, session.tool_results, session.open_calls) == (len(calls), len(calls), 0)
    assert session.tool_errors == (0 if "tool_errors" in leaves_out(name) else sum(call.failed for call in calls))
    used = usage_as_shown(name, sum((turn.usage for turn in turns), ev.Usage()))
    assert session.usage == (used if "turns" in shows else ev.Usage())
    for part in ("retries", "compactions"):
        assert getattr(session, part) == (sum(getattr(turn, part) for turn in turns) if part in shows else 0)
    ending, _ = classify(session, exit_code=0, stderr_tail="")
    assert (ending is Ending.FINISHED) is (script.failure is None)


@any_backend
@given(script=scripts())
def test_texts_and_calls_are_read_completely_and_in_order(name: str, script: Script) -> None:
    shown = Script(turns=script.turns if script.failure is None else script.turns[:-1])
    events = decoded(name, grammar(name).lines(shown))
    turns = list(shown.all_turns(subagents=False))
    main = [event for event in events if getattr(event, "parent", None) is None]
    assert [e.text for e in main if isinstance(e, ev.Text)] == [turn.text for turn in turns if turn.text]
    wanted = [(call.id, grammar(name).arguments(call)) for turn in turns for call in turn.calls]
    assert [(e.call_id, e.arguments) for e in main if isinstance(e, ev.ToolCall)] == wanted
    outputs = {e.call_id: (e.output, e.is_error) for e in events if isinstance(e, ev.ToolResult)}
    for turn in turns:
        for call in turn.calls:
            assert outputs[call.id] == (call.output, call.failed and "tool_errors" not in leaves_out(name))


@any_backend
@given(script=scripts(), limit=st.integers(1, 6))
def test_a_limit_trips_at_the_first_event_that_exceeds_it(name: str, script: Script, limit: int) -> None:
    session = Session()
    for line in grammar(name).lines(script):
        before = session.turns
        session.add_line(backend(name).decode(line))
        assert session.turns - before <= 1  # so that no session exceeds a turn limit
        if session.turns >= limit:
            assert (before, session.turns) == (limit - 1, limit)
            break


@given(st.lists(st.sampled_from(["empty", "text", "call", "compaction"]), max_size=20))
def test_a_detector_trips_at_the_first_event_that_exceeds_it(steps: list[str]) -> None:
    session, empty, compactions = Session(), 0, 0
    for number, step in enumerate(steps):
        turn = str(number)
        if step == "compaction":
            session.add(ev.Compaction())
            compactions += 1
        else:
            parts: dict[str, ev.Event] = {
                "empty": ev.Text(turn=turn, text=""),
                "text": ev.Text(turn=turn, text="x"),
                "call": ev.ToolCall(turn=turn, call_id=turn, name="x"),
            }
            for event in (ev.TurnStarted(turn=turn), parts[step], ev.TurnFinished(turn=turn)):
                session.add(event)
            empty = empty + 1 if step == "empty" else 0
            compactions = 0 if step == "call" else compactions
        ending, _ = classify(session, exit_code=0, stderr_tail="")
        assert (ending is Ending.EMPTY_STEPS) is (empty >= Limits().empty_turns)
        endless = compactions >= Limits().compactions and empty < Limits().empty_turns
        assert (ending is Ending.ENDLESS_COMPACTION) is endless


@any_backend
@given(script=scripts(), pause=st.floats(0.001, 100))
def test_the_time_of_tools_is_known_or_unknown_but_never_a_false_zero(name: str, script: Script, pause: float) -> None:
    lines = grammar(name).lines(script)
    timed = Session()
    for number, line in enumerate(lines):
        timed.add_line(backend(name).decode(line), at=number * pause)
    assert timed.tool_s is not None
    assert timed.experiment_s is not None
    assert timed.other_tools_s is not None
    assert timed.tool_s == pytest.approx(timed.experiment_s + timed.other_tools_s)
    assert timed.untimed_results == 0
    untimed = read(name, lines)
    assert (untimed.tool_s is None) is (untimed.untimed_results > 0)


@any_backend
@given(data=st.data())
def test_a_sample_has_the_place_of_its_line(name: str, data: st.DataObject) -> None:
    lines = list(data.draw(streams(name)))
    noise = data.draw(st.sampled_from([b"oops", b"{}", b"[1]"]))
    lines.insert(data.draw(st.integers(0, len(lines))), noise)
    sample = read(name, lines).malformed_sample
    assert sample is not None
    assert sample.offset is not None
    assert sample.length == len(noise)
    assert b"\n".join(lines)[sample.offset :][: sample.length] == noise


@given(data=st.data(), cap=st.integers(1, 40))
def test_any_chunking_gives_the_same_lines(data: st.DataObject, cap: int) -> None:
    stream = data.draw(st.lists(st.binary(max_size=60) | st.just(b"\n"), max_size=20).map(b"".join))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole, cut = LineSplitter(cap), LineSplitter(cap)
    expected = [*whole.feed(stream), *whole.finish()]
    assert [line for chunk in chunks for line in cut.feed(chunk)] + cut.finish() == expected
    assert expected == _lines(stream, cap)


def _lines(stream: bytes, cap: int) -> list[Line]:
    """Return the lines that `LineSplitter` must give: its specification."""
    lines, offset = [], 0
    for part in stream.split(b"\n"):
        kept = part if len(part) <= cap else _shortened(part, cap)[:cap]
        lines.append(Line(offset, kept, len(part) - len(kept)))
        offset += len(part) + 1
    return lines if part else lines[:-1]


def _shortened(part: bytes, room: int) -> bytes:
    shortener = Shortener(room)
    return shortener.feed(part) + shortener.flush()
