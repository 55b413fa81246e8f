"""Draws lines below pytest's output on a terminal without disturbing that output."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from threading import RLock
from typing import Any

from harness.live.line import terminal_size, width

_UNSEEN = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
"""Escape sequences that do not move the cursor, such as those for colours."""


class Canvas:
    """The lines below the one that pytest's terminal writer is writing. `terminal` is a file descriptor.

    From `open` to `close`, everything that the writer writes passes through this object. It follows the text to know
    where the cursor belongs, and wipes its own lines before the writer goes on. It can be used from any thread.
    """

    def __init__(self, terminal: int, writer: Any) -> None:  # the class of pytest's writer is not public
        self._terminal = terminal
        self._writer = writer
        self._write = writer.write_raw
        self._lock = RLock()
        self._column = 0
        self._drawn = False

    def open(self) -> None:
        """Start to follow the writer."""
        with self._lock:
            self._column = max(0, self._writer.width_of_current_line)
            self._writer.flush()
            self._writer.write_raw = self._pass

    def size(self) -> tuple[int, int]:
        """Return how many columns and rows can be drawn on."""
        columns, rows = terminal_size(self._terminal)
        return max(1, columns - 1), max(1, rows - 2)

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines, which must fit into `size`. Before `open` and after `close` this does nothing."""
        with self._lock:
            if self._writer.write_raw == self._pass:
                below = "".join(f"\r\n{line}\x1b[K" for line in lines)
                self._put(f"{below}\x1b[J\x1b[{len(lines)}A{self._to_column()}")
                self._drawn = True

    def close(self) -> None:
        """Wipe what was drawn and stop following the writer. May be called again."""
        with self._lock:
            if self._writer.write_raw == self._pass:
                self._wipe()
                self._writer.write_raw = self._write

    def _pass(self, text: str, *, flush: bool = False) -> None:
        seen = _UNSEEN.sub("", text)
        with self._lock:
            if seen:
                self._wipe()
            self._write(text, flush=flush)
            self._writer.flush()
            tail = re.split(r"[\r\n]", seen)[-1]
            self._column = width(tail) + (self._column if tail == seen else 0)

    def _wipe(self) -> None:
        if self._drawn:
            self._put(f"\r\n\x1b[J\x1b[1A{self._to_column()}")
            self._drawn = False

    def _to_column(self) -> str:
        """Return the sequence that puts the cursor at the end of the writer's text, which may fill several lines."""
        columns, _rows = terminal_size(self._terminal)
        return f"\x1b[{(self._column - 1) % columns + 2 if self._column else 1}G"

    def _put(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self._terminal, data) :]
