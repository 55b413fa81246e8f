"""Messages over a connection whose other end may send nothing, nonsense, or one byte a minute."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

_LOOK_S = 0.2


class Channel:
    """Length-prefixed messages. Each has a deadline on the clock of `time.monotonic`.

    While nothing arrives, `look` is called a few times a second. An exception from it ends the wait. `longest` is the
    size of the longest message that is accepted, in bytes.
    """

    def __init__(self, connection: socket.socket, look: Callable[[], None], longest: int) -> None:
        self._connection = connection
        self._look = look
        self._longest = longest
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, message: bytes, deadline: float) -> None:
        """Send a message. Raise `TimeoutError` or `ConnectionError`."""
        self._connection.settimeout(max(deadline - time.monotonic(), 0.001))
        self._connection.sendall(len(message).to_bytes(4, "big") + message)

    def receive(self, deadline: float) -> bytes:
        """Return the next message. Raise `TimeoutError`, `ConnectionError`, or `ValueError` if it is too long."""
        length = int.from_bytes(self._exactly(4, deadline), "big")
        if length > self._longest:
            raise ValueError(f"a message of {length} bytes, over the cap of {self._longest}")
        return self._exactly(length, deadline)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _exactly(self, count: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            self._connection.settimeout(min(remaining, _LOOK_S))
            try:
                chunk = self._connection.recv(count - len(data))
            except TimeoutError:
                self._look()
                continue
            if not chunk:
                raise ConnectionError("the connection was closed")
            data += chunk
        return bytes(data)


def accept(listener: socket.socket, look: Callable[[], None], deadline: float) -> socket.socket:
    """Return the first connection to a listener, and close the listener.

    Raise `TimeoutError`, or what `look` raises.
    """
    with listener:
        while (remaining := deadline - time.monotonic()) > 0:
            listener.settimeout(min(remaining, _LOOK_S))
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                look()
            else:
                return connection
    raise TimeoutError
