"""Lines of a stream: where they begin, and what happens to lines that are too long."""

from __future__ import annotations

from harness.agent.stream import Line, LineSplitter


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
