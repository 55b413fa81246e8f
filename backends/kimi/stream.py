"""Reads the stream of Kimi Code."""

from __future__ import annotations

from backends import events as ev


def decode(line: bytes) -> tuple[ev.Event, ...]:
    """See `Backend.decode`."""
    return ()


def read_stderr(text: str) -> tuple[ev.Event, ...]:
    """See `Backend.read_stderr`."""
    return ()
