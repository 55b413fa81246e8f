"""Time as a session sees it, so that a test can bring its own."""

from __future__ import annotations

import time
from selectors import BaseSelector, SelectorKey
from typing import Protocol


class Clock(Protocol):
    """A steady clock and the two ways of waiting on it; all in seconds."""

    def now(self) -> float:
        """The time."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def select(self, selector: BaseSelector, timeout: float) -> list[tuple[SelectorKey, int]]:
        """Wait until something is ready, for at most `timeout` seconds; what is ready."""


class SystemClock:
    """The machine's own: `time.monotonic`."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        time.sleep(seconds)

    def select(self, selector: BaseSelector, timeout: float) -> list[tuple[SelectorKey, int]]:
        """See `Clock.select`."""
        return selector.select(timeout)
