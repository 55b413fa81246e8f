"""Lines drawn below what pytest writes on a terminal, without either disturbing the other."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from threading import RLock
from typing import Any

from harness.live.line import width

_UNSEEN = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
"""Escape sequences of colour and the like, which move no cursor."""


class Canvas:
    """The lines below the one on which pytest's terminal writer writes; `terminal` is a file descriptor.

    From `open` to `close` all that the writer writes passes here: its own text is followed, so that the cursor can be
    put back to its end, and what was drawn is wiped before it goes on. For any thread.
    """

    def __init__(self, terminal: int, writer: Any) -> None:  # pytest does not publish the class of its writer
        self._terminal = terminal
        self._writer = writer
        self._write = writer.write_raw
        self._lock = RLock()
        self._column = 0
        self._drawn = False

    def open(self) -> None:
        """Follow the writer from now on."""
        with self._lock:
            self._column = max(0, self._writer.width_of_current_line)
            self._writer.flush()
            self._writer.write_raw = self._pass

    def size(self) -> tuple[int, int]:
        """Columns and rows that may be drawn on."""
        columns, rows = self._terminal_size()
        return max(1, columns - 1), max(1, rows - 2)

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines; no more than `size` says, and not before `open` or after `close`."""
        with self._lock:
            if self._writer.write_raw == self._pass:
                below = "".join(f"\r\n{line}\x1b[K" for line in lines)
                self._put(f"{below}\x1b[J\x1b[{len(lines)}A{self._to_column()}")
                self._drawn = True

    def close(self) -> None:
        """Wipe what was drawn and let the writer go. May be called again."""
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
        """Moves the cursor to the end of the writer's text, which may be longer than a line of the terminal."""
        columns, _rows = self._terminal_size()
        return f"\x1b[{(self._column - 1) % columns + 2 if self._column else 1}G"

    def _terminal_size(self) -> tuple[int, int]:
        """Columns and rows; where a terminal does not tell them, those of old."""
        size = os.get_terminal_size(self._terminal)
        return size.columns or 80, size.lines or 24

    def _put(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self._terminal, data) :]
