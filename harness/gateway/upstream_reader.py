"""Reads a provider's own answer where the CLI gets a translation of it. Limits and ledger count what it reads."""

from __future__ import annotations

from collections.abc import Callable

from harness.gateway.wires.base import Wire
from harness.gateway.wires.reader import Reader


class UpstreamReader(Reader):
    """Reads one streamed answer of a provider. `take` returns the data of the events that have come since.

    `on_bytes` is called whenever bytes of the provider arrive.
    """

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, streamed=True, heard=self._keep)
        self.on_bytes: Callable[[], None] = lambda: None
        self._events: list[str] = []

    def feed(self, chunk: bytes | bytearray) -> None:
        """Ignore what the CLI gets."""

    def read(self, chunk: bytes) -> None:
        """Take the provider's next bytes."""
        self.on_bytes()
        super().feed(chunk)

    def take(self) -> list[str]:
        """Return the data of the events that have come since the last call."""
        events, self._events = self._events, []
        return events

    def _keep(self, event: str) -> None:
        self._events.append(event)
