"""What an environment's processes need from the room that can bound processes, which is a stranger to this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Kept(Protocol):
    """A process and its descendants, kept within bounds."""

    def exceeded(self) -> str | None:
        """Return in words which bound was exceeded, so that one of them was killed, or `None`."""

    def close(self) -> None:
        """Kill those that still run. May be called again."""


Keeping = Callable[[int, int, Callable[[], object]], Kept]
"""Puts the process of a pid within bounds, with what it starts from now on.

The other arguments are the bytes of memory for all of them, and a function that kills them. It is called if they exceed
a bound that the kernel does not keep.
"""


class _NotKept:
    def exceeded(self) -> None:
        """See `Kept.exceeded`."""

    def close(self) -> None:
        """See `Kept.close`."""


def not_kept(_pid: int, _memory: int, _kill: Callable[[], object]) -> Kept:
    """Keep nothing. Each process still has a limit of its own memory."""
    return _NotKept()
