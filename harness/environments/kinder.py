"""KinDER environments (the package `kindergarden`): motion planning and manipulation among objects."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import kinder
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from relational_structs.spaces import ObjectCentricBoxSpace

from harness.environments.base import Plain
from harness.environments.drawing import lock_renderer
from harness.environments.gymnasium_adapter import GymnasiumEnvironment

_LARGEST = 1000
"""The largest number of a state. A world is a few units wide, and no feature is larger than the layer 101."""


class KinderEnvironment(GymnasiumEnvironment):
    """The KinDER environment with this id, such as `kinder/Motion2D-p1-v0`.

    KinDER terminates exactly when the task is solved. The state is the observation vector in float64, without the
    rounding of the observation to float32. KinDER warns that in a `dynamic2d` environment the same actions can lead to
    another result after `set_state`. Raise `ValueError` if the id is unknown or its physics engine is missing.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - Gymnasium and the configuration use this name
        max_steps: int,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        _register()
        if id not in kinder.get_all_env_ids():
            raise ValueError(
                f"there is no KinDER environment {id!r} here (a missing physics engine leaves its environments out); "
                f"available: {', '.join(sorted(kinder.get_all_env_ids()))}"
            )
        super().__init__(id, max_steps, {"allow_state_access": True, **(kwargs or {})})
        space = self.env.observation_space
        if not isinstance(space, ObjectCentricBoxSpace):
            raise ValueError(f"{id}: its observation is not a vector of object features")
        self._space = space
        # The outer environment gives its state in float32 only. The one that it wraps has all digits.
        unwrapped: Any = self.env.unwrapped
        self._world = unwrapped._object_centric_env

    def describe(self) -> str:
        """Return KinDER's own documentation, with every component of the observation and the action named."""
        metadata = self.env.unwrapped.metadata
        action_space: Any = self.env.action_space
        return _DESCRIPTION.format(
            id=self.id,
            task=metadata["description"].strip(),
            variant=metadata["variant_specific_description"],
            world=self._world_text(),
            max_steps=self.max_steps,
            size=self._space.shape[0],
            observation="\n".join(_observation_rows(self._space)),
            action=action_space.create_markdown_description().strip(),
            shape=action_space.shape,
            dtype=action_space.dtype,
            reward=metadata["reward_description"].strip(),
        )

    def _world_text(self) -> str:
        bounds = [getattr(self._world.config, f"world_{end}_{axis}", None) for axis in "xy" for end in ("min", "max")]
        if None in bounds:
            return ""
        return _WORLD.format(*bounds)

    def get_state(self) -> Plain:
        """Return the state vector in float64, laid out like the observation."""
        return self._world.get_state().vec(self._space.constant_objects, dtype=np.float64)

    def set_state(self, state: Plain) -> None:
        """Set the state from a vector (array or list).

        Raise `ValueError` for a wrong length, and for numbers that are not finite or absurdly large.
        """
        try:
            vector: NDArray[Any] = np.array(state, dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            vector = np.empty(0)
        if vector.shape != self._space.shape or not np.isfinite(vector).all():
            raise ValueError(f"a state of {self.id} is a list of {self._space.shape[0]} finite numbers")
        far = np.argwhere(np.abs(vector) > _LARGEST)
        if len(far):
            index = int(far[0][0])
            raise ValueError(f"number {index} of a state must lie in [{-_LARGEST}, {_LARGEST}]; got {vector[index]:g}")
        self.env.reset(seed=0)
        space = self._space
        self._world.set_state(space.state_cls.from_vec(vector, space.constant_objects, space.type_features))


@cache
def _register() -> None:
    mpl.use("agg")  # pictures are drawn off screen, from any thread
    renderer = lock_renderer()
    kinder.register_all_environments()
    os.environ.update(renderer)


def _observation_rows(space: ObjectCentricBoxSpace) -> Iterator[str]:
    index = 0
    for thing in space.constant_objects:
        for feature in space.type_features[thing.type]:
            meaning = _MEANING.get((thing.type.name, feature)) or _MEANING.get(("", feature), "")
            yield f"| {index} | {thing.name} | {feature} | {meaning} |"
            index += 1


_MEANING = {
    ("crv_robot", "x"): "x of the centre of the round base",
    ("crv_robot", "y"): "y of the centre of the round base",
    ("crv_robot", "theta"): "direction of the arm, radians, counter-clockwise from +x",
    ("", "base_radius"): "radius of the round base",
    ("", "arm_joint"): "distance from the base's centre to the gripper",
    ("", "arm_length"): "largest arm_joint",
    ("", "vacuum"): "1 if the vacuum is on",
    ("", "gripper_height"): "extent of the gripper across the arm",
    ("", "gripper_width"): "extent of the gripper along the arm",
    ("circle", "x"): "x of the centre",
    ("circle", "y"): "y of the centre",
    ("", "x"): "x of the corner that is lower left at theta 0",
    ("", "y"): "y of the corner that is lower left at theta 0",
    ("", "theta"): "rotation about (x, y), radians, counter-clockwise",
    ("", "static"): "1 if it never moves",
    ("", "z_order"): "layer: 100 collides with everything, 101 with nothing",
    ("", "width"): "extent along x at theta 0",
    ("", "height"): "extent along y at theta 0",
    ("", "radius"): "radius",
}
"""Meaning of a 2D feature by (type, feature), or by feature alone; from `kinder.envs.kinematic2d` and `tomsgeoms2d`."""

_WORLD = """
The world is the rectangle x in [{}, {}], y in [{}, {}], y upwards, with walls all round that are not part of the
observation. A step that would make the robot (base, arm or gripper) touch a wall or an obstacle moves nothing at all.
"""

_DESCRIPTION = """\
## Task
{task}

{variant} The KinDER environment is `{id}`. An episode is solved when it terminates; it ends unsolved after
{max_steps} steps.
{world}
## Observation
A NumPy vector of {size} numbers (float32):

| index | object | feature | meaning |
| --- | --- | --- | --- |
{observation}

The same vector is the environment's state.

## Action
A NumPy vector or list of shape {shape}; it is cast to {dtype}. A number out of its bounds is an invalid action and ends
the episode.

{action}

## Reward
{reward}
"""
