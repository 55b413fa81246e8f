"""Lines of a stream: where they begin, and what happens to lines that are too long."""

from __future__ import annotations

import pytest

from backends.reading.lines import MOST_PIECES
from backends.registry import backend
from harness.agent.stream import Line, LineSplitter, StreamReader


def test_a_line_arrives_when_it_is_complete() -> None:
    reader = LineSplitter()
    assert reader.feed(b"one\ntw") == [Line(0, b"one", 0)]
    assert reader.feed(b"o\n\nthree") == [Line(4, b"two", 0), Line(8, b"", 0)]
    assert reader.finish() == [Line(9, b"three", 0)]
    assert reader.finish() == []


def test_only_newline_bytes_split() -> None:
    text = "a\u2028b\u2029c\rd\x0be\x85f".encode()
    assert LineSplitter().feed(text + b"\n") == [Line(0, text, 0)]


def test_a_long_line_is_cut_and_counted_without_being_held_in_memory() -> None:
    reader = LineSplitter(cap=10)
    for _ in range(1000):
        assert reader.feed(b"x" * 100) == []
    assert reader.feed(b"\nnext\n") == [Line(0, b"x" * 10, 99_990), Line(100_001, b"next", 0)]
    assert (reader.truncated_lines, reader.truncated_bytes) == (1, 99_990)


def test_a_long_last_line_is_cut_too() -> None:
    reader = LineSplitter(cap=3)
    reader.feed(b"abcdef")
    assert reader.finish() == [Line(0, b"abc", 3)]


KNOWN = {
    "claude": b'{"type":"system","subtype":"init","session_id":"s"}',
    "codex": b'{"type":"thread.started","thread_id":"s"}',
    "opencode": b'{"type":"step_start","sessionID":"s","part":{"messageID":"m"}}',
    "pi": b'{"type":"session","id":"s"}',
}
LATER = b'{"type":"of tomorrow \xff"}'


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize(
    ("line", "unknown", "malformed"),
    [
        (b"\xef\xbb\xbfKNOWN", 0, 0),
        (b"\x1b[0m\x1b[?25hKNOWN\x1b[0m", 0, 0),
        (b"\x1b]0;a title\x07KNOWN\r", 0, 0),
        (b"\x1b]9;4;3;\x1b\\KNOWN", 0, 0),
        (b"\x00KNOWN", 0, 0),
        (b"KNOWNLATER", 1, 0),
        (b"\xef\xbb\xbfKNOWN \x1b[2KLATERLATER", 2, 0),
        (b'KNOWN{"type":"cut', 0, 1),
        (b"KNOWNoops", 0, 1),
    ],
)
def test_what_stands_around_an_object_costs_no_event(name: str, line: bytes, unknown: int, malformed: int) -> None:
    reader = StreamReader(backend(name))
    reader.feed(line.replace(b"KNOWN", KNOWN[name]).replace(b"LATER", LATER) + b"\n")
    session = reader.session
    assert (session.session_id, session.unknown_events, session.malformed_lines) == ("s", unknown, malformed)


@pytest.mark.parametrize(
    "line", [b"oops", b'a log says {"type":"session","id":"s"}', b"\x1b[0m", b'{"type":"cut', b"[1]", b'{"a":' * 9000]
)
def test_a_line_that_holds_no_object_is_malformed_as_a_whole(line: bytes) -> None:
    reader = StreamReader(backend("pi"))
    reader.feed(line + b"\n")
    assert (reader.session.malformed_lines, reader.session.session_id) == (1, "")
    assert reader.session.malformed_sample is not None
    assert reader.session.malformed_sample.length == len(line)


def test_a_line_with_countless_objects_is_one_malformed_line_after_the_first_ones() -> None:
    reader = StreamReader(backend("claude"))
    reader.feed(b"{}" * 200_000 + b"\n")
    assert reader.session.malformed_lines + reader.session.unknown_events <= MOST_PIECES + 1
