"""Messages over two pipes whose other end may send nothing, nonsense, or one byte a minute."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import IO, Protocol

_LOOK_S = 0.2
_CHUNK = 1 << 20


class Aside(Protocol):
    """Something else that the other end writes, such as its standard error."""

    def fileno(self) -> int:
        """Return the descriptor to wait for."""

    def read(self) -> int:
        """Read a part of what is there, without waiting. Return its size."""


class Channel:
    """Length-prefixed messages. Each has a deadline on the clock of `time.monotonic`.

    During a wait, `aside` is read, so that the other end never waits for that, and `look` is called a few times a
    second. An exception from `look` ends the wait. `longest` is the size of the longest message that is accepted, in
    bytes. The two files become non-blocking; their owner closes them.
    """

    def __init__(
        self, incoming: IO[bytes], outgoing: IO[bytes], look: Callable[[], None], longest: int, aside: Aside
    ) -> None:
        self._incoming = _Pipe(incoming, select.POLLIN, aside)
        self._outgoing = _Pipe(outgoing, select.POLLOUT, aside)
        self._look = look
        self._longest = longest
        self._received = bytearray()

    def send(self, message: bytes, deadline: float) -> None:
        """Send a message. Raise `TimeoutError` or `ConnectionError`."""
        rest = memoryview(len(message).to_bytes(4, "big") + message)
        while rest:
            try:
                rest = rest[os.write(self._outgoing.number, rest) :]
            except BlockingIOError:
                self._outgoing.wait(deadline, self._look)

    def receive(self, deadline: float) -> bytes:
        """Return the next message. Raise `TimeoutError`, `ConnectionError`, or `ValueError` if it is too long."""
        length = int.from_bytes(self._take(4, deadline), "big")
        if length > self._longest:
            raise ValueError(f"a message of {length} bytes, over the cap of {self._longest}")
        return self._take(length, deadline)

    def _take(self, count: int, deadline: float) -> bytes:
        while len(self._received) < count:
            self._incoming.wait(deadline, self._look)
            chunk = os.read(self._incoming.number, _CHUNK)
            if not chunk:
                raise ConnectionError("the connection was closed")
            self._received += chunk
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken


class _Pipe:
    """One end of a pipe, and a way to wait for it."""

    def __init__(self, file: IO[bytes], ready: int, aside: Aside) -> None:
        self.number = file.fileno()
        os.set_blocking(self.number, False)
        self._aside = aside
        self._poll = select.poll()
        self._poll.register(self.number, ready)
        self._poll.register(aside.fileno(), select.POLLIN)

    def wait(self, deadline: float, look: Callable[[], None]) -> None:
        """Return once the pipe is ready or broken. Raise `TimeoutError`, or what `look` raises."""
        now = time.monotonic()
        look_at = now + _LOOK_S
        while now < deadline:
            ready = [number for number, _ in self._poll.poll(1000 * (min(deadline, look_at) - now))]
            if self._aside.fileno() in ready:
                self._aside.read()
            if self.number in ready:
                return
            now = time.monotonic()
            if now >= look_at:
                look()
                look_at = now + _LOOK_S
        raise TimeoutError
