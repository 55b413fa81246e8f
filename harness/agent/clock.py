"""The clock of a session. A test can pass a clock of its own."""

from __future__ import annotations

import time
from selectors import BaseSelector, SelectorKey
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock and two ways to wait. All times are in seconds."""

    def now(self) -> float:
        """Return the current time."""

    def sleep(self, seconds: float) -> None:
        """Wait for this many seconds."""

    def select(self, selector: BaseSelector, timeout: float) -> list[tuple[SelectorKey, int]]:
        """Wait until something is ready, but at most `timeout` seconds. Return what is ready."""


class SystemClock:
    """The clock of this machine: `time.monotonic`."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        time.sleep(seconds)

    def select(self, selector: BaseSelector, timeout: float) -> list[tuple[SelectorKey, int]]:
        """See `Clock.select`."""
        return selector.select(timeout)
