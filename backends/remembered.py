"""Forgets the older half of what a long session remembers, so that memory stays constant."""

from __future__ import annotations

from itertools import islice
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

REMEMBERED = 256
"""How many turns, calls and MCP servers are remembered by id. Beyond that, the older half is forgotten."""


def forget(remembered: dict[Key, Value]) -> None:
    """Remove the older half of the entries if there are too many."""
    if len(remembered) > REMEMBERED:
        for key in list(islice(remembered, REMEMBERED // 2)):  # popped singly, each would pass all earlier gaps
            del remembered[key]
