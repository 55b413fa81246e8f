"""How long tools took, as far as a stream or the times of its lines tell."""

from __future__ import annotations

from msgspec import Struct

from backends.reading.experiment import is_experiment


class OpenCall(Struct, frozen=True, gc=False):
    """A call without a result yet: its turn, its tool, the beginning of its shell command, and when it arrived."""

    turn: str
    name: str
    command: str
    at: float | None


class ToolTimes(Struct):
    """The calls without a result, by id, and the seconds that the others took."""

    open: dict[str, OpenCall] = {}
    experiment_s: float = 0.0
    other_s: float = 0.0
    untimed: int = 0

    def took(self, call: OpenCall, told_s: float | None, at: float | None) -> None:
        """Add what a call took: what its CLI tells, or else the time from its arrival to that of its result."""
        seconds = told_s
        if seconds is None and at is not None and call.at is not None:
            seconds = max(0.0, at - call.at)
        if seconds is None:
            self.untimed += 1
        elif is_experiment(call.name, call.command):
            self.experiment_s += seconds
        else:
            self.other_s += seconds
