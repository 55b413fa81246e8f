"""What a session may use of its model, counted exactly even when requests run side by side."""

from __future__ import annotations


class Budget:
    """The number of model turns a session may have; none: no limit.

    A turn is reserved before its request reaches the provider and given back if the request fails.
    """

    def __init__(self, turns: int | None = None) -> None:
        if turns is not None and turns < 0:
            raise ValueError(f"a budget of {turns} turns makes no sense: it must be 0 or more")
        self.turns = turns
        self._taken = 0

    def reserve(self) -> str | None:
        """Take a turn; returns the name of the limit that forbids it, if one does (then nothing is taken)."""
        if self.turns is not None and self._taken >= self.turns:
            return "turn_limit"
        self._taken += 1
        return None

    def give_back(self) -> None:
        """Return a reserved turn whose request failed."""
        self._taken -= 1
