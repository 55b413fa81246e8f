"""Primitives of KinDER's worlds: whether an action collides in 2D, and inverse kinematics of an arm in 3D."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from kinder.envs.kinematic2d.base_env import ObjectCentricKinematic2DRobotEnv
from numpy.typing import NDArray
from relational_structs.spaces import ObjectCentricBoxSpace

from harness.environments.base import Plain
from harness.environments.object_centric import ObjectSpace

_LARGEST = 1000
_MOST_OBJECTS = 1000


class KinderPrimitives:
    """The primitives of a world. `check_action_collision` and `inverse_kinematics` are `None` if it has none.

    A state is given as a vector in `space`, or in the plain form of `harness.environments.object_centric`, with any
    number of objects. `read_action` turns a plain action into one of the environment's.
    """

    def __init__(self, world: Any, space: ObjectCentricBoxSpace, read_action: Callable[[Plain], Any]) -> None:
        self._world, self._space, self._read_action = world, space, read_action
        self._objects = ObjectSpace(world.type_features, {})
        flat = isinstance(world, ObjectCentricKinematic2DRobotEnv)
        self.check_action_collision = self._collides if flat else None
        arm = getattr(getattr(world, "robot", None), "arm", None)
        self.inverse_kinematics = self._joints_for if arm is not None and hasattr(arm, "get_joint_positions") else None

    def _collides(self, state: Plain, action: Plain) -> bool:
        """Return whether an action would collide. KinDER then keeps the state as it is: the very same object."""
        checked = self._read_action(action)
        self._world.set_state(self._read_state(state))
        before = self._world._current_state
        try:
            ObjectCentricKinematic2DRobotEnv.step(self._world, checked)
        except Exception as error:  # KinDER checks by assertions, and looks for objects by name
            raise ValueError(f"the state is not one of this environment: {type(error).__name__}: {error}") from error
        return self._world._current_state is before

    def _read_state(self, state: Plain) -> Any:
        if isinstance(state, dict):
            return self._read_objects(state)
        space = self._space
        vector = _numbers(state, space.shape[0], "the state")
        kind: Any = space.state_cls  # its hints want float32
        return kind.from_vec(vector, space.constant_objects, space.type_features)

    def _read_objects(self, state: dict[str, Plain]) -> Any:
        match state:
            case {"objects": list(things), "values": values} if len(things) <= _MOST_OBJECTS and all(
                map(_named, things)
            ):
                features = np.asarray(values, dtype=np.float64)
                checked = _numbers(features, features.size, "the features")
                return self._objects.from_plain({"objects": things, "values": checked})
        raise ValueError("a state of objects has their names and types, and the values of their features")

    def _joints_for(self, state: Plain, position: Plain, orientation: Plain) -> list[float] | None:
        """Return the arm's joints with which its end effector has a pose in the world, near those of a state.

        Return `None` if there are none.
        """
        geometry, solving = (import_module(f"pybullet_helpers.{name}") for name in ("geometry", "inverse_kinematics"))
        at, turned = _numbers(position, 3, "position"), _numbers(orientation, 4, "orientation")
        pose = geometry.Pose(tuple(at.tolist()), tuple(turned.tolist()))
        self._world.set_state(self._read_state(state))
        try:
            found = solving.inverse_kinematics(self._world.robot.arm, pose, validate=True, set_joints=False)
        except solving.InverseKinematicsError:
            return None
        return [float(joint) for joint in found]


def _named(thing: Plain) -> bool:
    return isinstance(thing, list) and [type(part) for part in thing] == [str, str]


def _numbers(plain: Plain, count: int, name: str) -> NDArray[np.float64]:
    values = np.asarray(plain, dtype=np.float64)
    if values.shape != (count,) or not (np.abs(values) <= _LARGEST).all():
        raise ValueError(f"{name} must be {count} numbers, none larger in size than {_LARGEST}")
    return values
