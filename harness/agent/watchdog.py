"""Says when a session has passed a limit that no one else holds."""

from __future__ import annotations

from typing import Protocol

from backends.session import Session
from harness.agent.ending import EMPTY_TURNS
from harness.case import Ending, Limits

AFTER_FINAL_S = 10.0
"""Seconds a CLI may take to exit after its final event (opencode#44901 and claude-code#25629 never do)."""


class Traffic(Protocol):
    """What the gateway knows of a session while it runs."""

    @property
    def refused(self) -> str | None:
        """The limit whose breaking request was refused, by the name of its ending."""

    @property
    def last_activity(self) -> float:
        """When the last model traffic was, in `time.monotonic` seconds."""

    @property
    def open_requests(self) -> int:
        """How many requests are being answered now."""


def passed_limit(
    limits: Limits, traffic: Traffic, session: Session, *, began: float, last_output: float, now: float
) -> Ending | None:
    """The first limit that a session has passed at `now`, or none. All times are of one monotonic clock, in seconds."""
    if traffic.refused is not None:
        return Ending(traffic.refused)
    if now - began >= limits.wall_s:
        return Ending.WALL_LIMIT
    silent_s = now - max(began, last_output, traffic.last_activity)
    if silent_s >= limits.idle_s:
        return Ending.STALLED if traffic.open_requests else Ending.IDLE_LIMIT
    if session.empty_turns >= EMPTY_TURNS:
        return Ending.EMPTY_STEPS
    if session.finished and silent_s >= AFTER_FINAL_S:
        return Ending.HUNG_AFTER_FINAL
    return None
