"""The live line: what the running case is doing, redrawn in place below pytest's own progress."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable

_EVERY_S = 0.2


class LiveLine:
    """One line on a terminal, given as a file descriptor; `None` shows nothing.

    `column` tells where pytest's own line ends, so that the cursor can be put back there.
    """

    def __init__(self, terminal: int | None, column: Callable[[], int] = lambda: 0) -> None:
        self._terminal = terminal
        self._column = column
        self._shown = 0.0

    def show(self, text: str) -> None:
        """Redraw the line, at most five times a second."""
        now = time.monotonic()
        if self._terminal is None or now - self._shown < _EVERY_S:
            return
        begin = "\r\x1b[2K" if self._shown else "\n"
        self._shown = now
        printable = "".join(c if c.isprintable() else "?" for c in text)
        os.write(self._terminal, (begin + printable[: shutil.get_terminal_size().columns - 1]).encode())

    def clear(self) -> None:
        """Wipe the line and put the cursor back to the end of pytest's line."""
        if self._terminal is not None and self._shown:
            self._shown = 0.0
            os.write(self._terminal, f"\r\x1b[2K\x1b[1A\x1b[{self._column() + 1}G".encode())
