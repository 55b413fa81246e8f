"""How long tools took, as far as a stream or the times of its lines tell."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from backends.reading.experiment import is_experiment

_AGAIN = "\0"
"""What is added to the id of a call whose id is taken."""


class OpenCall(Struct, frozen=True, gc=False):
    """A call without a result yet: its turn, its tool, the beginning of its shell command, and when it arrived."""

    turn: str
    name: str
    command: str
    at: float | None

    def repeats(self, other: OpenCall | None) -> bool:
        """Return whether the other call, which has the same id, is the same call."""
        return other is not None and (self.turn, self.name, self.command) == (other.turn, other.name, other.command)


class ToolTimes(Struct):
    """The calls without a result, by id, and the seconds that the others took.

    Calls of one response may share an id. Each but the first is then kept under an id of its own.
    """

    open: dict[str, OpenCall] = {}
    experiment_s: float = 0.0
    other_s: float = 0.0
    untimed: int = 0

    def begin(self, call_id: str, call: OpenCall) -> None:
        """Note a call. An earlier response's call of the same id is over."""
        while (other := self.open.get(call_id)) is not None and other.turn == call.turn:
            call_id += _AGAIN
        self.open[call_id] = call

    def only_commands(self, call_ids: Iterable[str]) -> bool:
        """Return whether all these calls are shell commands without a result."""
        return all(call_id in self.open and self.open[call_id].command for call_id in call_ids)

    def end(self, call_id: str) -> OpenCall | None:
        """Return the first call of this id that has no result yet, or `None`. It is not open any more."""
        call = self.open.pop(call_id, None)
        while (later := self.open.pop(call_id + _AGAIN, None)) is not None:
            self.open[call_id] = later
            call_id += _AGAIN
        return call

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
