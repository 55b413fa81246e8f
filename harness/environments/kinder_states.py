"""How the state of a KinDER world is read and set, where that is not a replay of its actions."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from relational_structs.spaces import ObjectCentricBoxSpace

from harness.environments.base import Plain, public_seed

_LARGEST_FEATURE = 1000
"""The largest size of a feature in a state. A world is a few units wide, and the layer 101 is the largest feature."""
_LARGEST_NUMBER = 1e9
"""The largest size of a number in a state of MuJoCo, which holds forces and accelerations too."""


class States(Protocol):
    """The states of one world."""

    def get(self) -> Plain:
        """Return the state."""

    def set(self, state: Plain) -> None:
        """Set a state. Raise `ValueError` for one that the world cannot take."""


class FeatureStates:
    """States that are the features of all objects, laid out like the observation, in float64.

    `world` is KinDER's object-centric environment. `reset` resets the environment with a seed.
    """

    def __init__(self, name: str, world: Any, space: ObjectCentricBoxSpace, reset: Callable[[int], object]) -> None:
        self._name, self._world, self._space, self._reset = name, world, space, reset

    def get(self) -> Plain:
        """Return the vector of features. It has all digits; an observation is rounded to float32."""
        return self._world.get_state().vec(self._space.constant_objects, dtype=np.float64)

    def set(self, state: Plain) -> None:
        """Set the features. Raise `ValueError` for a wrong length, and for numbers that no world can have."""
        space = self._space
        vector = _numbers(state, space.shape[0], _LARGEST_FEATURE, self._name)
        self._reset(0)
        features: Any = space.state_cls.from_vec(vector, space.constant_objects, space.type_features)
        try:
            self._world.set_state(features)
        except Exception as error:  # KinDER checks features by assertions, and PyBullet has errors of its own
            said = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise ValueError(f"{self._name} takes no such state: {said}") from error
        if hasattr(self._world, "target_id"):
            self._lift_target(features)

    def _lift_target(self, features: Any) -> None:
        """Move the target to its position. KinDER puts it on the floor."""
        geometry = import_module("pybullet_helpers.geometry")  # only worlds with a target have this package
        target = features.get_object_from_name("target")
        position = tuple(float(features.get(target, axis)) for axis in "xyz")
        geometry.set_pose(self._world.target_id, geometry.Pose(position), self._world.physics_client_id)


class IntegrationStates:
    """States of MuJoCo: the seed, and all numbers from which MuJoCo goes on.

    The numbers are MuJoCo's integration state, followed by its bias forces. KinDER's controller reads these forces
    before MuJoCo computes them anew. The seed determines the model: which objects there are, and where fixtures stand.
    """

    def __init__(self, name: str, world: Any, seed: Callable[[], int | None], reset: Callable[[int], object]) -> None:
        self._name, self._world, self._seed, self._reset = name, world, seed, reset
        self._mujoco: Any = import_module("mujoco")
        self._kind = self._mujoco.mjtState.mjSTATE_INTEGRATION

    def get(self) -> Plain:
        """Return `{"seed": int, "state": array}`. Raise `RuntimeError` before the first reset."""
        seed = self._seed()
        if seed is None:
            raise RuntimeError("reset must be called first")
        model, data = self._engine()
        numbers = np.empty(self._mujoco.mj_stateSize(model, self._kind))
        self._mujoco.mj_getState(model, data, numbers, self._kind)
        return {"seed": seed, "state": np.concatenate([numbers, data.qfrc_bias])}

    def set(self, state: Plain) -> None:
        """Reset with the seed, and set all numbers. Raise `ValueError` for a state of another form."""
        if not isinstance(state, dict) or set(state) != {"seed", "state"}:
            raise ValueError("a state is an object with exactly the keys seed, state")
        seed = public_seed(state["seed"])
        self._reset(seed)
        model, data = self._engine()
        size = self._mujoco.mj_stateSize(model, self._kind)
        numbers = _numbers(state["state"], size + model.nv, _LARGEST_NUMBER, self._name)
        self._mujoco.mj_setState(model, data, numbers[:size], self._kind)
        self._mujoco.mj_forward(model, data)  # so that a picture shows the state
        self._mujoco.mj_setState(model, data, numbers[:size], self._kind)
        data.qfrc_bias[:] = numbers[size:]
        self._world._current_state = self._world._get_object_centric_state()

    def _engine(self) -> tuple[Any, Any]:
        """Return the model and the data of the current episode. Each reset makes new ones."""
        simulation = self._world._robot_env.sim
        return simulation.model.mj_model, simulation.data.mj_data


def _numbers(value: Plain, size: int, largest: float, name: str) -> NDArray[Any]:
    """Return so many finite numbers of a state, none larger in size than `largest`. Raise `ValueError` for others."""
    try:
        vector: NDArray[Any] = np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        vector = np.empty(0)
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise ValueError(f"a state of {name} has a list of {size} finite numbers")
    far = np.argwhere(np.abs(vector) > largest)
    if len(far):
        index = int(far[0][0])
        raise ValueError(f"number {index} of a state must lie in [{-largest:g}, {largest:g}]; got {vector[index]:g}")
    return vector
