"""Splits a CLI's output into lines, in whatever chunks it arrives, and folds the lines into a session."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO

from msgspec import Struct

from backends.base import Backend
from backends.events import Event, Malformed
from backends.reading.lines import pieces, sample
from backends.reading.shorten import Shortener
from backends.session import Session

LINE_CAP = 8 * 1024 * 1024
"""How many bytes of a line are kept. Longer strings in it are shortened, or else its end is dropped."""
STDERR_TAIL = 1 << 20
"""How many bytes at the end of standard error are read. Codex reports its turns there."""


_BLOCK = 512
"""The unit of `st_blocks`, in bytes."""
_BLOCKS_LEFT = 64 * 1024
"""How much more than its size a file may take on the disk."""


class Line(Struct, frozen=True, gc=False):
    """One line without its newline: its offset in the stream, its bytes, and how many bytes were left out of it."""

    offset: int
    data: bytes
    cut: int


class LineSplitter:
    r"""Splits at `\n` bytes only, because JSON text may contain any other line separator. Holds at most `cap` bytes.

    It takes a longer line for JSON, and shortens its strings. If that is not enough, it keeps the beginning.
    `truncated_lines` counts these lines, and `truncated_bytes` the bytes dropped from them.
    """

    def __init__(self, cap: int = LINE_CAP) -> None:
        self.truncated_lines = 0
        self.truncated_bytes = 0
        self._cap = cap
        self._offset = 0
        self._held = bytearray()
        self._length = 0
        self._shortener: Shortener | None = None

    def feed(self, chunk: bytes) -> list[Line]:
        """Return the lines that `chunk` completes."""
        lines = []
        start, cap = 0, self._cap
        while (end := chunk.find(b"\n", start)) >= 0:
            if self._length or end - start > cap:
                self._hold(memoryview(chunk)[start:end])
                lines.append(self._close(newline=1))
            else:  # nearly every line is whole in its chunk; copy it only once
                lines.append(Line(self._offset, chunk[start:end], 0))
                self._offset += end - start + 1
            start = end + 1
        self._hold(memoryview(chunk)[start:])
        return lines

    def finish(self) -> list[Line]:
        """Return the last line if the stream ended without a newline."""
        return [self._close(newline=0)] if self._length else []

    def _hold(self, piece: memoryview) -> None:
        self._length += len(piece)
        if self._shortener is None and self._length <= self._cap:
            self._held += piece
        elif self._shortener is None:
            self._shortener = Shortener(self._cap)
            begun = self._shortener.feed(self._held)
            self._held = bytearray(begun)
            self._keep(self._shortener.feed(piece))
        elif len(self._held) < self._cap:
            self._keep(self._shortener.feed(piece))

    def _keep(self, shortened: bytes) -> None:
        self._held += shortened[: self._cap - len(self._held)]

    def _close(self, *, newline: int) -> Line:
        if self._shortener is not None:
            self._keep(self._shortener.flush())
            self._shortener = None
        line = Line(self._offset, bytes(self._held), self._length - len(self._held))
        self.truncated_lines += line.cut > 0
        self.truncated_bytes += line.cut
        self._offset += self._length + newline
        self._held.clear()
        self._length = 0
        return line


class StreamReader:
    """Folds the output of a backend into `session`, with the offset of each line and the time when it arrived.

    A line longer than the splitter's cap is read with its strings shortened. If it is too long even then, it counts as
    malformed.
    """

    def __init__(self, backend: Backend, session: Session | None = None, lines: LineSplitter | None = None) -> None:
        self.session = session or Session()
        self.lines = lines or LineSplitter()
        self._decode = backend.decode

    def feed(self, chunk: bytes, at: float | None = None) -> None:
        """Read the next chunk. `at` is the time when it arrived; see `Session.add_line`."""
        self._add(self.lines.feed(chunk), at)

    def finish(self, at: float | None = None) -> None:
        """Read the last line if the stream ended without a newline."""
        self._add(self.lines.finish(), at)

    def _add(self, lines: list[Line], at: float | None) -> None:
        add, decode = self.session.add_line, self._decode
        for line in lines:
            data = line.data
            events = decode(data)
            if len(events) == 1 and type(events[0]) is Malformed:
                events = self._decode_pieces(data, events)
                if line.cut and len(events) == 1:
                    events = (Malformed(reason=f"longer than {len(data)} bytes", sample=sample(data)),)
            add(events, line.offset, len(data) + line.cut, at)

    def _decode_pieces(self, data: bytes, whole: tuple[Event, ...]) -> tuple[Event, ...]:
        """Return the events of each object on a line, or `whole` if the line does not begin with an object."""
        found = pieces(data)
        return whole if found == [data] else tuple(event for piece in found for event in self._decode(piece))


class OutputFiles:
    """The files that keep a session's standard output and standard error: together, about `most` bytes at most.

    The box appends to the file `stderr` itself. So a program can fill it past every pipe, and it is cut back each time
    that it is measured. `size` is how many bytes of output there were, kept or not.
    """

    def __init__(self, stream: IO[bytes], stderr: Path | None, most: float | None) -> None:
        self._stream = stream
        self._stderr = stderr
        self._most = math.inf if most is None else most
        self._read = 0
        self._kept = 0
        self._errors = 0

    @property
    def size(self) -> int:
        """The bytes of standard output so far, and the largest size of standard error that was measured."""
        return self._read + self._errors

    def write(self, chunk: bytes) -> None:
        """Keep the next piece of standard output, or as much of it as there is room for."""
        self._read += len(chunk)
        room = max(self._most - self._kept, 0)
        self._kept += self._stream.write(chunk if len(chunk) <= room else chunk[: int(room)])
        self._stream.flush()

    def measure(self) -> None:
        """Measure the file of standard error, and cut it if it is too large.

        What is allocated counts, because that takes room on the disk even beyond the end of the file.
        """
        if self._stderr is None or not self._stderr.exists():
            return
        status = self._stderr.stat()
        size = max(status.st_size, status.st_blocks * _BLOCK)
        self._errors = max(self._errors, size)
        allowed = max(self._most - self._kept, STDERR_TAIL)
        if size > allowed + _BLOCKS_LEFT:
            os.truncate(self._stderr, int(min(status.st_size, allowed)))


def stderr_tail(path: Path) -> str:
    """Return the last `STDERR_TAIL` bytes of a CLI's recorded standard error as text.

    Raise `OSError` if it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - STDERR_TAIL))
        return file.read(STDERR_TAIL).decode("utf-8", "replace")
