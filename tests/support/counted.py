"""A small problem whose episodes have different numbers of objects: walk past all doors of a corridor."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from harness.environment_conf import Counts, EnvironmentConf
from harness.environments.actions import cast
from harness.environments.base import Plain, Step
from harness.environments.spaces import space_to_plain

_ACTIONS = spaces.Discrete(2)  # 0: stay, 1: walk


class Corridor:
    """A corridor with this number of doors. `opened` and `closed` count the corridors with each number."""

    opened: ClassVar[list[int]] = []
    closed: ClassVar[list[int]] = []

    def __init__(self, max_steps: int, doors: int) -> None:
        if doors > 1_000_000:
            raise ValueError(f"no room for {doors} doors")
        self.max_steps = max_steps
        self.doors = doors
        self.place = 0
        self.opened.append(doors)

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        self.place = 0
        return self.get_state(), {}

    def action(self, plain: Plain) -> Any:
        return cast(_ACTIONS, plain)

    def step(self, action: Any) -> Step:
        self.place += int(action)
        return Step(self.get_state(), -1.0, self.place > self.doors, truncated=False, info={"place": self.place})

    def render(self) -> NDArray[np.uint8]:
        return np.full((8, 8, 3), self.place, np.uint8)

    def describe(self) -> str:
        return f"Walk past {self.doors} doors."

    def spaces(self) -> dict[str, Plain]:
        seen = spaces.Dict({"doors": spaces.Discrete(100), "place": spaces.Discrete(100)})
        return {"action_space": space_to_plain(_ACTIONS), "observation_space": space_to_plain(seen)}

    def get_state(self) -> Plain:
        return {"doors": self.doors, "place": self.place}

    def set_state(self, state: Plain) -> None:
        if not isinstance(state, dict) or state.get("doors") != self.doors:
            raise ValueError(f"a state has {self.doors} doors")
        self.place = int(state["place"])

    def close(self) -> None:
        self.closed.append(self.doors)


def corridor(held_out: list[int], design: list[int] | None = None, **more: Any) -> EnvironmentConf:
    """Return the configuration of a corridor."""
    counts = Counts("doors", design or [1, 2, 4], held_out, steps_per_object=2)
    return EnvironmentConf("corridor", "tests.support.counted:Corridor", max_steps=3, counts=counts, **more)
