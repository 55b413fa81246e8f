"""What the policy sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class World:
    """The features of each thing in the newest state, by the thing's name."""

    things: dict[str, dict[str, float]]

    def place(self, name: str) -> Array:
        """Return the x and y of a thing."""
        return np.array([self.things[name]["x"], self.things[name]["y"]])
