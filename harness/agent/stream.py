"""Cuts a CLI's output into lines, whatever chunks it arrives in."""

from __future__ import annotations

from typing import NamedTuple

LINE_CAP = 8 * 1024 * 1024
"""Bytes of a line that are kept; the rest is counted and dropped."""


class Line(NamedTuple):
    """One line without its newline: where it begins in the stream, its bytes, and whether bytes were cut off it."""

    offset: int
    data: bytes
    truncated: bool


class LineReader:
    r"""Splits on `\n` bytes alone: JSON text may hold any other line separator. Holds at most `cap` bytes.

    `truncated_lines` counts the lines that were longer, `truncated_bytes` what was dropped of them.
    """

    def __init__(self, cap: int = LINE_CAP) -> None:
        self.truncated_lines = 0
        self.truncated_bytes = 0
        self._cap = cap
        self._offset = 0
        self._held = bytearray()
        self._cut = 0

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that `chunk` completes."""
        lines = []
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            if self._held or end - start > self._cap:
                self._hold(chunk, start, end)
                lines.append(self._close(newline=1))
            else:  # nearly every line: whole in its chunk, and copied once
                lines.append(Line(self._offset, chunk[start:end], False))
                self._offset += end - start + 1
            start = end + 1
        self._hold(chunk, start, len(chunk))
        return lines

    def finish(self) -> list[Line]:
        """The last line, if the stream ended without a newline."""
        return [self._close(newline=0)] if self._held or self._cut else []

    def _hold(self, chunk: bytes, start: int, end: int) -> None:
        kept = min(end, start + self._cap - len(self._held))
        self._held += memoryview(chunk)[start:kept]
        self._cut += end - kept

    def _close(self, *, newline: int) -> Line:
        line = Line(self._offset, bytes(self._held), self._cut > 0)
        self.truncated_lines += line.truncated
        self.truncated_bytes += self._cut
        self._offset += len(line.data) + self._cut + newline
        self._held.clear()
        self._cut = 0
        return line
