"""What a submission prints while it is graded. All of it is read, and a bounded part is kept."""

from __future__ import annotations

import os
from pathlib import Path

from harness.evaluation.text import clean

HEAD_BYTES = TAIL_BYTES = 8_000
"""How much is kept of the output of one episode: its beginning and its end, in bytes."""
LOG_BYTES = 1_000_000
"""How long the log of all episodes may become, in bytes, without its last line."""
_BLOCK = 1 << 16
_MOST_BLOCKS = 16


class Printed:
    """The output of one episode. `add` takes more of it, and `take` returns its text and forgets it."""

    def __init__(self) -> None:
        self._head, self._tail, self._bytes = bytearray(), bytearray(), 0

    def add(self, data: bytes) -> None:
        """Keep the output as far as it belongs to the beginning or to the end."""
        room = HEAD_BYTES - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[:-TAIL_BYTES]
        self._bytes += len(data)

    def take(self) -> str:
        """Return the text, without terminal escapes and with a note where a part is left out, and start again."""
        left_out = self._bytes - len(self._head) - len(self._tail)
        note = f"\n[... {left_out} bytes are left out ...]\n".encode() if left_out else b""
        text = (self._head + note + self._tail).decode(errors="replace")
        self._head, self._tail, self._bytes = bytearray(), bytearray(), 0
        return clean(text.replace("\r\n", "\n").replace("\r", "\n"))


class OutputPipe:
    """A named pipe at `path`, which is made, for the output of a process. What comes is added to `printed`.

    The process is never stopped by what it prints, as long as somebody reads. Reading never waits.
    """

    def __init__(self, path: Path, printed: Printed) -> None:
        os.mkfifo(path, 0o600)
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._printed = printed

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._descriptor

    def read(self) -> int:
        """Read one block at most. Return its size in bytes."""
        try:
            data = os.read(self._descriptor, _BLOCK)
        except BlockingIOError:
            return 0
        self._printed.add(data)
        return len(data)

    def catch_up(self) -> None:
        """Read what is there. A process that prints without end is not waited for."""
        for _ in range(_MOST_BLOCKS):
            if not self.read():
                return

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._descriptor)


class PolicyLog:
    """The file with the output of all episodes. It is made when there is something to write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._room = LOG_BYTES

    def add(self, title: str, text: str) -> None:
        """Write down what one episode printed, if it printed anything. A full log says so once."""
        if not text.strip() or self._room <= 0:
            return
        lines = "".join(f"  {line}\n" for line in text.splitlines())
        entry = f"--- {title} ---\n{lines}".encode()
        cut = b"" if len(entry) <= self._room else f"\n--- cut: this file holds {LOG_BYTES} bytes ---\n".encode()
        with self._path.open("ab") as file:
            file.write(entry[: self._room] + cut)
        self._room -= len(entry)
