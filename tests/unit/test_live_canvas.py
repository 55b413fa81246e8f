"""The canvas below pytest's lines never disturbs them, whatever is written and whenever."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager

from _pytest._io import TerminalWriter  # this is the writer that the canvas follows
from hypothesis import example, given
from hypothesis import strategies as st

from harness.live.canvas import Canvas
from tests.support.screen import Screen

COLUMNS, ROWS = 20, 6


class Terminal:
    """A pseudo-terminal that pytest's writer and the canvas share. `screen` shows its content."""

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        os.set_blocking(self._master, False)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._file = io.TextIOWrapper(io.FileIO(os.dup(self._slave), "w"), encoding="utf-8", write_through=True)
        self.writer = TerminalWriter(self._file)
        self.writer.hasmarkup = True
        self.canvas = Canvas(self._slave, self.writer)
        self.screen = Screen(COLUMNS, ROWS)

    def look(self) -> Screen:
        try:
            while shown := os.read(self._master, 1 << 16):
                self.screen.feed(shown.decode())
        except BlockingIOError:
            pass
        return self.screen

    def close(self) -> None:
        self._file.close()
        os.close(self._master)
        os.close(self._slave)


@contextmanager
def a_terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    try:
        yield terminal
    finally:
        terminal.close()


texts = st.text("ab.\r\n", max_size=30)
drawn = st.lists(st.text("xyz", max_size=COLUMNS - 1), min_size=1, max_size=ROWS - 2)


@given(steps=st.lists(texts | drawn, max_size=12))
@example(steps=["a" * COLUMNS, ["x"], "b"])
def test_pytests_own_lines_appear_as_if_nothing_had_been_drawn(steps: list[str | list[str]]) -> None:
    alone = Screen(COLUMNS, ROWS)
    full = False  # the next text breaks a full line, unless something was drawn in between
    with a_terminal() as terminal:
        terminal.canvas.open()
        for step in steps:
            if isinstance(step, str):
                text = "\n" + step if full else step
                terminal.writer.write(text, green=True)
                alone.feed(text.replace("\n", "\r\n"))
            else:
                terminal.canvas.draw(step)
            full = alone.cursor[1] == COLUMNS
        terminal.canvas.close()
        assert terminal.look().text == alone.text


@given(before=texts, lines=drawn)
def test_the_drawing_is_below_the_last_line(before: str, lines: list[str]) -> None:
    with a_terminal() as terminal:
        terminal.canvas.open()
        terminal.writer.write(before)
        cursor = terminal.look().cursor
        text = terminal.screen.text
        terminal.canvas.draw(["to be replaced"] * (ROWS - 2))
        terminal.canvas.draw(lines)
        assert terminal.look().text.endswith("\n".join(lines).rstrip())
        assert terminal.screen.cursor == (cursor[0], min(cursor[1], COLUMNS - 1))
        terminal.canvas.close()
        assert terminal.look().text == text


def test_nothing_is_drawn_before_it_is_opened_or_after_it_is_closed() -> None:
    with a_terminal() as terminal:
        terminal.canvas.draw(["too early"])
        terminal.canvas.open()
        terminal.canvas.close()
        terminal.canvas.draw(["too late"])
        terminal.canvas.close()
        terminal.writer.write("pytest")
        assert terminal.look().text == "pytest"


def test_the_size_leaves_room_for_pytests_own_line() -> None:
    with a_terminal() as terminal:
        assert terminal.canvas.size() == (COLUMNS - 1, ROWS - 2)
