"""Messages between two processes. The other end may send nothing, nonsense, or one byte a minute.

This file needs only the standard library, so that it runs in every process of Proctor.
"""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Protocol

_LOOK_S = 0.2
_AWAKE_S = 0.0003
_CHUNKS = (1 << 16, 1 << 20)
"""How much is read at once: a larger part only of a longer message, because room for it takes time to make."""


class Aside(Protocol):
    """Something else that is written meanwhile, such as a standard error."""

    def fileno(self) -> int:
        """Return the descriptor to wait for."""

    def read(self) -> int:
        """Read a part of what is there, without waiting. Return its size."""


class Channel:
    """Length-prefixed messages over two descriptors. Each message has a deadline on the clock of `time.monotonic`.

    The descriptors may be the same, as for a socket. They become non-blocking; their owner closes them. `longest` is
    the size of the longest message that is accepted, in bytes. During a wait, each of `asides` is read, so that nobody
    waits for that, and `look`, if there is one, is called a few times a second. An exception from `look` ends the wait.
    """

    def __init__(
        self,
        incoming: int,
        outgoing: int,
        longest: int,
        look: Callable[[], None] | None = None,
        asides: Sequence[Aside] = (),
    ) -> None:
        self._incoming = _End(incoming, select.POLLIN, asides)
        self._outgoing = _End(outgoing, select.POLLOUT, asides)
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
            chunk = self._read(count - len(self._received), deadline)
            if not chunk:
                raise ConnectionError("the connection was closed")
            self._received += chunk
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _read(self, count: int, deadline: float) -> bytes:
        """Return the next bytes, about `count` of them, or none if the connection was closed.

        A quick answer is awaited awake: going to sleep and waking up would take longer than the answer does.
        """
        least, most = _CHUNKS
        asleep = time.monotonic() + _AWAKE_S
        while True:
            try:
                return os.read(self._incoming.number, min(max(count, least), most))
            except BlockingIOError:
                os.sched_yield()  # whoever answers may need this core
                if time.monotonic() > asleep:
                    self._incoming.wait(deadline, self._look)


class _End:
    """One end of a connection, and a way to wait for it."""

    def __init__(self, number: int, ready: int, asides: Sequence[Aside]) -> None:
        self.number = number
        os.set_blocking(number, False)
        self._asides = {aside.fileno(): aside for aside in asides}
        self._poll = select.poll()
        self._poll.register(number, ready)
        for aside in self._asides:
            self._poll.register(aside, select.POLLIN)

    def wait(self, deadline: float, look: Callable[[], None] | None) -> None:
        """Return once the connection is ready or broken. Raise `TimeoutError`, or what `look` raises."""
        now = time.monotonic()
        look_at = now + _LOOK_S if look else math.inf
        while now < deadline:
            until = min(deadline, look_at)
            ready = [number for number, _ in self._poll.poll(None if until == math.inf else 1000 * (until - now))]
            for number in ready:
                if number in self._asides:
                    self._asides[number].read()
            if self.number in ready:
                return
            now = time.monotonic()
            if look and now >= look_at:
                look()
                look_at = now + _LOOK_S
        raise TimeoutError
