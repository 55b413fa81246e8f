"""KinDER environments (the package `kindergarden`): motion planning and manipulation among objects, in 2D and 3D."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import kinder
import matplotlib as mpl
from relational_structs.spaces import ObjectCentricBoxSpace

from harness.environments.base import Plain
from harness.environments.drawing import lock_renderer
from harness.environments.gymnasium_adapter import GymnasiumEnvironment
from harness.environments.kinder_families import LIMB, MUJOCO, class_of
from harness.environments.kinder_limb import count_tries
from harness.environments.kinder_meshes import remove_meshes, write_meshes_elsewhere
from harness.environments.kinder_primitives import KinderPrimitives
from harness.environments.kinder_states import FeatureStates, IntegrationStates, States
from harness.environments.kinder_text import description


class KinderEnvironment(GymnasiumEnvironment):
    """The KinDER environment with this id, such as `kinder/Motion2D-p1-v0`.

    KinDER terminates exactly when the task is solved. What a state is depends on the family of the environment: the
    features of all objects in float64, without the rounding of the observation to float32; or the seed and all numbers
    of MuJoCo; or the seed and the actions so far. Raise `ValueError` if the id is unknown or its physics engine is
    missing.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - Gymnasium and the configuration use this name
        max_steps: int,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        _register()
        self._class = class_of(id)
        if self._class.family == LIMB:
            count_tries()
        elif self._class.family == MUJOCO:
            write_meshes_elsewhere()
        super().__init__(id, max_steps, {"allow_state_access": True, **(kwargs or {})})
        if not isinstance(self.env.observation_space, ObjectCentricBoxSpace):
            raise ValueError(f"{id}: its observation is not a vector of object features")
        # The outer environment gives its state in float32 only. The one that it wraps has all digits.
        unwrapped: Any = self.env.unwrapped
        self._world = unwrapped._object_centric_env
        observed: Any = self.env.observation_space
        primitives = KinderPrimitives(self._world, observed, self.action)
        self.check_action_collision, self.inverse_kinematics = (
            primitives.check_action_collision,
            primitives.inverse_kinematics,
        )
        self.state_fidelity = self._class.family.fidelity
        self._states = self._own_states(self.env.observation_space)
        if self._class.family == MUJOCO and (camera := self._world._render_camera_name):
            self._world._robot_env.camera_names = [camera]  # it would draw what every camera sees, and show one

    def _own_states(self, space: ObjectCentricBoxSpace) -> States | None:
        """Return how states are read and set, or `None` if that is by replay."""
        if self.state_fidelity != "exact":
            return None
        if self._class.family == MUJOCO:
            return IntegrationStates(self.id, self._world, lambda: self._seed, self.reset)
        return FeatureStates(self.id, self._world, space, self.reset)

    def describe(self) -> str:
        """Return the task, with the meaning of every component of the observation and the action."""
        return description(self.id, self._class, self.env, self.max_steps)

    def get_state(self) -> Plain:
        """Return the state."""
        return super().get_state() if self._states is None else self._states.get()

    def set_state(self, state: Plain) -> None:
        """Set a state. Raise `ValueError` for one that this environment cannot have."""
        if self._states is None:
            super().set_state(state)
        else:
            self._states.set(state)

    def close(self) -> None:
        """Free the engine, and remove the meshes that it wrote. No environment of this process may be used then."""
        super().close()
        remove_meshes()


@cache
def _register() -> None:
    mpl.use("agg")  # pictures are drawn off screen, from any thread
    renderer = lock_renderer()
    kinder.register_all_environments()
    os.environ.update(renderer)
