"""The live line on a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.live.line import CaseProgress, LiveLine, fitted, width


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    yield master, slave
    os.close(master)
    os.close(slave)


def shown(master: int, expected: bytes) -> bytes:
    """Return what the terminal received, once it has the expected length. Each write may arrive separately."""
    got = b""
    while len(got) < len(expected) and select.select([master], [], [], 10.0)[0]:
        got += os.read(master, 1000)
    return got


def test_the_line_is_drawn_below_and_wiped_with_the_cursor_put_back(terminal: tuple[int, int]) -> None:
    master, slave = terminal
    line = LiveLine(slave, lambda: 12)
    line.show("turn 1")
    line.clear()
    expected = b"\r\nturn 1\r\x1b[2K\x1b[1A\x1b[13G"
    assert shown(master, expected) == expected


def test_the_line_has_the_width_of_the_terminal_and_follows_a_resize(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "7")
    monkeypatch.setattr("harness.live.line._EVERY_S", 0.0)
    master, slave = terminal
    line = LiveLine(slave)
    for begin, columns in ((b"\r\n", 200), (b"\r\x1b[2K", 30)):
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        line.show("x" * 300)
        expected = begin + b"x" * (columns - 1)
        assert shown(master, expected) == expected


def test_what_an_agent_wrote_cannot_steer_the_terminal(terminal: tuple[int, int]) -> None:
    master, slave = terminal
    LiveLine(slave).show("\x1b]0;title\x07\nrm")
    expected = b"\r\n?]0;title??rm"
    assert shown(master, expected) == expected


def test_nothing_is_written_before_the_first_show_or_without_a_terminal(terminal: tuple[int, int]) -> None:
    master, slave = terminal
    LiveLine(slave).clear()
    LiveLine(None).show("unseen")
    with pytest.raises(BlockingIOError):
        os.read(master, 1)


def test_the_progress_of_a_session_is_one_line() -> None:
    assert str(CaseProgress(case="a", turn=3, last_tool="Bash", seconds=12.3)) == "a: turn 3, Bash, 12 s"
    assert str(CaseProgress(case="a", turn=0)) == "a: turn 0, 0 s"


@given(st.text(), st.integers(0, 100))
def test_a_line_fits_whatever_is_in_it(text: str, columns: int) -> None:
    shown = fitted(text, columns)
    assert width(shown) <= columns
    assert shown.isprintable()
    assert width(shown) + 2 > columns or len(shown) == len(text)


def test_wide_and_combining_characters_are_measured_in_columns() -> None:
    assert [width(text) for text in ("ab", "日本", "e\u0301")] == [2, 4, 1]
    assert fitted("日本", 3) == "日"
