"""Keeps the end of what a process of ours prints: what it said before it died."""

from __future__ import annotations

import os
from contextlib import suppress

_KEPT = 8_000
_BLOCK = 1 << 16
_MOST_BLOCKS = 16
_LINES = 12
_FATAL = "Fatal Python error"
"""How the traceback of `faulthandler` begins. Its first lines tell most, because the most recent call comes first."""


class LastWords:
    """A pipe for the standard output and error of a process. `writing` is its far end.

    Somebody must read it, or the process waits when it is full. Reading never waits.
    """

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._kept = bytearray()

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._reading

    def read(self) -> int:
        """Read one block at most. Return its size in bytes."""
        try:
            data = os.read(self._reading, _BLOCK)
        except BlockingIOError:
            return 0
        self._kept += data
        del self._kept[:-_KEPT]
        return len(data)

    def told(self, what: str, trace: str = "") -> str:
        """Return a message: what happened, and the last lines of the trace or else of the output, indented."""
        for _ in range(_MOST_BLOCKS):
            if self._reading < 0 or not self.read():
                break
        said = trace or self._kept.decode(errors="replace")
        lines = [line for line in said.replace("\r", "\n").splitlines() if line.strip()]
        fatal = [number for number, line in enumerate(lines) if line.startswith(_FATAL)]
        told = lines[fatal[-1] :][:_LINES] if fatal else lines[-_LINES:]
        return "\n  ".join([what, *told])

    def close_writing(self) -> None:
        """Close the far end in this process, after the other one has it."""
        os.close(self.writing)
        self.writing = -1

    def close(self) -> None:
        """Close the pipe. What it brought can still be told."""
        self.told("")
        for end in (self._reading, self.writing):
            if end >= 0:
                with suppress(OSError):
                    os.close(end)
        self._reading = self.writing = -1
