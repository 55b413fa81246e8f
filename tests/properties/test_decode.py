"""Reading streams: whatever the bytes, however they are cut, whatever comes in between."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import events as ev
from backends.registry import backend, names
from backends.session import Session, fold
from harness.agent.ending import classify
from harness.agent.stream import Line, LineReader
from harness.case import Ending

CORPUS = Path(__file__).parents[1] / "corpus"
BACKENDS = names()
STREAMS = {
    name: [path.read_bytes().split(b"\n")[:-1] for path in sorted(CORPUS.glob(f"{name}/*/stream.jsonl"))]
    for name in BACKENDS
}
LINES = {name: [line for lines in streams for line in lines if len(line) < 5000] for name, streams in STREAMS.items()}

any_backend = pytest.mark.parametrize("name", BACKENDS)

junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "\x00", "\u2028", "1e999"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damaged_lines(draw: st.DrawFn, name: str) -> bytes:
    """A real line in which one to three values, anywhere, were replaced by anything."""
    value = json.loads(draw(st.sampled_from(LINES[name])))
    for _ in range(draw(st.integers(1, 3))):
        value = _replaced(draw, value)
    return json.dumps(value).encode()


def _replaced(draw: st.DrawFn, value: Any) -> Any:
    """The value with one of its parts, chosen on a random way down, replaced."""
    keys: list[Any] = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    if not keys or draw(st.integers(0, 4)) == 0:
        return draw(junk)
    changed = copy.copy(value)
    key = draw(st.sampled_from(keys))
    changed[key] = _replaced(draw, value[key])
    return changed


def streams(name: str) -> st.SearchStrategy[list[bytes]]:
    """A recorded stream, or lines of several in any order."""
    return st.sampled_from(STREAMS[name]) | st.lists(st.sampled_from(LINES[name]), max_size=25)


def decoded(name: str, lines: Iterable[bytes]) -> list[ev.Event]:
    return [event for line in lines for event in backend(name).decode(line)]


def counters(session: Session) -> dict[str, float]:
    """All that only grows."""
    names_ = ("turns", "tool_calls", "tool_results", "tool_errors", "subagents", "retries", "denials", "compactions")
    counted = {name: getattr(session, name) for name in (*names_, "error_count", "tool_s", "model_s", "cost_usd")}
    counted.update(msgspec.to_builtins(session.usage))
    return counted


def assert_plain(events: Iterable[ev.Event]) -> None:
    for event in events:
        assert msgspec.json.decode(msgspec.json.encode(event), type=ev.Event) == event


@any_backend
@given(data=st.data())
def test_no_bytes_make_decoding_raise(name: str, data: st.DataObject) -> None:
    line = data.draw(st.binary(max_size=80) | st.sampled_from(LINES[name]).flatmap(_with_bytes_changed))
    assert_plain(backend(name).decode(line))


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
def test_no_value_of_a_wrong_type_makes_reading_raise(name: str, data: st.DataObject) -> None:
    events = decoded(name, data.draw(st.lists(damaged_lines(name), max_size=6)))
    assert_plain(events)
    session = fold(events)
    classify(session, exit_code=data.draw(st.sampled_from([None, 0, 1, -9])), stderr_tail="", stopped_by=None)
    assert all(value >= 0 for value in counters(session).values())


@any_backend
@given(data=st.data())
def test_noise_changes_no_total(name: str, data: st.DataObject) -> None:
    lines = data.draw(streams(name))
    noise = st.sampled_from([b"", b"oops", b"{}", b"[1]", b'{"type":"never_heard_of"}', b"\xff", b"{" * 40])
    noisy = [bit for line in lines for bit in (*data.draw(st.lists(noise, max_size=2)), line)]
    assert counters(fold(decoded(name, noisy))) == counters(fold(decoded(name, lines)))


@any_backend
@given(data=st.data())
def test_counters_only_grow(name: str, data: st.DataObject) -> None:
    session, before = Session(), counters(Session())
    for event in decoded(name, data.draw(streams(name))):
        session.add(event)
        now = counters(session)
        assert all(now[key] >= before[key] for key in now)
        before = now


@any_backend
@pytest.mark.parametrize("exit_code", [None, 0])
def test_no_prefix_without_the_last_line_is_finished(name: str, exit_code: int | None) -> None:
    for lines in STREAMS[name]:
        session = Session()
        for line in lines[:-1]:
            for event in backend(name).decode(line):
                session.add(event)
            ending, _ = classify(session, exit_code=exit_code, stderr_tail="", stopped_by=None)
            assert ending is not Ending.FINISHED


@any_backend
@given(data=st.data())
def test_reading_a_concatenation_is_concatenating_what_was_read(name: str, data: st.DataObject) -> None:
    one, two = data.draw(streams(name)), data.draw(streams(name))
    assert decoded(name, one + two) == decoded(name, one) + decoded(name, two)


@any_backend
@given(data=st.data())
def test_each_tool_result_pairs_with_one_call(name: str, data: st.DataObject) -> None:
    session = fold(decoded(name, data.draw(streams(name))))
    assert session.tool_errors <= session.tool_results <= session.tool_calls


@given(data=st.data(), cap=st.integers(1, 40))
def test_any_chunking_gives_the_same_lines(data: st.DataObject, cap: int) -> None:
    stream = data.draw(st.lists(st.binary(max_size=60) | st.just(b"\n"), max_size=20).map(b"".join))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole, cut = LineReader(cap), LineReader(cap)
    expected = [*whole.feed(stream), *whole.finish()]
    assert [line for chunk in chunks for line in cut.feed(chunk)] + cut.finish() == expected
    assert expected == _lines(stream, cap)


def _lines(stream: bytes, cap: int) -> list[Line]:
    """The specification of `LineReader`."""
    lines, offset = [], 0
    for part in stream.split(b"\n"):
        lines.append(Line(offset, part[:cap], len(part) > cap))
        offset += len(part) + 1
    return lines if lines[-1].data else lines[:-1]
