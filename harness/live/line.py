"""The live line: shows what the running case is doing, redrawn in place below pytest's own progress."""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

_EVERY_S = 0.2


class CaseProgress(Struct, frozen=True, kw_only=True):
    """How far the session of a case is: turns, the last tool called, seconds, and the output tokens metered so far.

    `budget` says what is used and left of the budgets that the case shares with others. It is empty if there are none.
    `budget_at` is the time of the answer after which this was so (`time.monotonic`).
    """

    case: str
    turn: int
    last_tool: str | None = None
    seconds: float = 0.0
    output_tokens: int | None = None
    budget: str = ""
    budget_at: float = 0.0

    def __str__(self) -> str:
        tool = f", {self.last_tool}" if self.last_tool else ""
        budget = f"; {self.budget}" if self.budget else ""
        return f"{self.case}: turn {self.turn}{tool}, {self.seconds:.0f} s{budget}"


class Live(Protocol):
    """Shows what is going on: on the terminal of this process, or through the process that has one."""

    def show(self, what: CaseProgress | str) -> None:
        """Show what is going on. May be called as often as you like."""

    def clear(self) -> None:
        """Remove what is shown, because it is over."""


class LiveLine:
    """One line on a terminal, given as a file descriptor. With `None`, it shows nothing.

    `column` returns where pytest's own line ends, so that the cursor can be put back there.
    """

    def __init__(self, terminal: int | None, column: Callable[[], int] = lambda: 0) -> None:
        self._terminal = terminal
        self._column = column
        self._shown = 0.0

    def show(self, what: CaseProgress | str) -> None:
        """Redraw the line, at most five times a second."""
        now = time.monotonic()
        if self._terminal is None or now - self._shown < _EVERY_S:
            return
        begin = "\r\x1b[2K" if self._shown else "\n"
        self._shown = now
        columns, _rows = terminal_size(self._terminal)
        os.write(self._terminal, (begin + fitted(str(what), columns - 1)).encode())

    def clear(self) -> None:
        """Wipe the line and put the cursor back at the end of pytest's line."""
        if self._terminal is not None and self._shown:
            self._shown = 0.0
            os.write(self._terminal, f"\r\x1b[2K\x1b[1A\x1b[{self._column() + 1}G".encode())


def terminal_size(terminal: int) -> tuple[int, int]:
    """Return the columns and rows that a terminal has now. One that does not report them counts as 80 x 24.

    The variable COLUMNS does not count, because it does not follow a resize. Neither does standard output, because
    pytest captures it.
    """
    try:
        size = os.get_terminal_size(terminal)
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24


def fitted(text: str, columns: int) -> str:
    """Return as much of the text as fits into one line.

    Characters that could control the terminal become question marks.
    """
    shown, left = "", columns
    for character in text:
        printable = character if character.isprintable() else "?"
        left -= width(printable)
        if left < 0:
            break
        shown += printable
    return shown


def width(text: str) -> int:
    """Return how many columns printable text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:  # combining marks
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"F", "W"} else 1
