"""Makes KinDER's inverse kinematics give the same answer on every machine.

`pybullet_helpers` searches for joint angles for 0.05 seconds of a clock, so that a busy machine may find others, and an
episode of the same seed begins differently.
"""

from __future__ import annotations

from importlib import import_module

_MODULES = ("pybullet_helpers.ikfast.utils", "pybullet_helpers.inverse_kinematics")
_TICK_S = 2.0**-12
"""How far each reading moves the clock. A power of two adds up without rounding, whatever was read before."""


class CountingClock:
    """A clock that only its readings move, so that a limit of 0.05 seconds becomes one of 205 tries."""

    def __init__(self) -> None:
        self._reads = 0

    def perf_counter(self) -> float:
        """Return the time in seconds."""
        self._reads += 1
        return self._reads * _TICK_S


def count_tries() -> None:
    """Limit each search in this process by its tries, in place of its time."""
    for name in _MODULES:
        import_module(name).time = CountingClock()  # type: ignore[attr-defined]  # the name under which it finds time
