"""The live line on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator

import pytest

from harness.report.live import LiveLine


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    yield master, slave
    os.close(master)
    os.close(slave)


def test_the_line_is_drawn_below_and_wiped_with_the_cursor_put_back(terminal: tuple[int, int]) -> None:
    master, slave = terminal
    line = LiveLine(slave, lambda: 12)
    line.show("turn 1")
    line.clear()
    assert os.read(master, 1000) == b"\r\nturn 1\r\x1b[2K\x1b[1A\x1b[13G"


def test_what_an_agent_wrote_cannot_steer_the_terminal(terminal: tuple[int, int]) -> None:
    master, slave = terminal
    LiveLine(slave).show("\x1b]0;title\x07\nrm")
    assert os.read(master, 1000) == b"\r\n?]0;title??rm"


def test_nothing_is_written_before_the_first_show_or_without_a_terminal(terminal: tuple[int, int]) -> None:
    master, slave = terminal
    LiveLine(slave).clear()
    LiveLine(None).show("unseen")
    with pytest.raises(BlockingIOError):
        os.read(master, 1)
