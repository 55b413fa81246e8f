"""KinDER environments whose observations are object-centric states, for programs that play any number of objects."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import gymnasium
import matplotlib as mpl
import numpy as np
from kinder.core import ConstantObjectKinDEREnv
from numpy.typing import NDArray

from harness.environments.base import Plain, Step
from harness.environments.gymnasium_adapter import GymnasiumEnvironment
from harness.environments.kinder_families import MUJOCO, KinderClass, family_of_class
from harness.environments.kinder_meshes import remove_meshes, write_meshes_elsewhere
from harness.environments.kinder_objects_text import named_states, objects_description
from harness.environments.kinder_primitives import KinderPrimitives
from harness.environments.kinder_states import FeatureStates, IntegrationStates, States
from harness.environments.object_centric import space_to_plain as objects_to_plain
from harness.environments.object_centric import state_to_plain
from harness.environments.spaces import space_to_plain
from harness.imports import load_object


class KinderObjects(GymnasiumEnvironment):
    """The KinDER environment of the class at an import path, such as `kinder.envs.kinematic2d.motion2d:Motion2DEnv`.

    `given` are arguments of that class, such as `num_passages`. `split` maps the name of an argument to those that it
    is divided between, evenly; the last ones get what is left. KinDER terminates exactly when the task is solved.

    Where the features of all objects are the whole state, a state has them by name, without rounding. Otherwise it is
    as that of `harness.environments.kinder`. Raise `ValueError` for a class or a number that does not work.
    """

    _open = 0
    """How many are open in this process."""

    def __init__(
        self, environment: str, max_steps: int, split: Mapping[str, Sequence[str]] | None = None, **given: Any
    ) -> None:
        mpl.use("agg")  # pictures are drawn off screen, from any thread
        found = load_object(environment)
        if not isinstance(found, type) or not issubclass(found, ConstantObjectKinDEREnv):
            raise ValueError(f"environment: {environment} is not a KinDER environment with a fixed number of objects")
        self._class: type[Any] = found
        self._given = given
        self._kind = KinderClass(found.__name__.removesuffix("Env"), family_of_class(environment), ())
        super().__init__(environment, max_steps, _divided(given, split or {}))
        KinderObjects._open += 1
        self.state_fidelity = self._kind.family.fidelity
        self._named = named_states(self._kind)
        self._states = self._own_states()
        collides = KinderPrimitives(self._world, self._outer.observation_space, self.action).check_action_collision
        self.check_action_collision = None if collides is None else partial(self._check_action_collision, collides)
        if self._kind.family == MUJOCO and (camera := self._world._render_camera_name):
            self._world._robot_env.camera_names = [camera]  # it would draw what every camera sees, and show one

    def _make(self, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
        if self._kind.family == MUJOCO:
            write_meshes_elsewhere()
        try:
            self._outer = self._class(allow_state_access=True, **kwargs)
        except (TypeError, RuntimeError, AssertionError) as error:
            # KinDER raises RuntimeError where it finds no room for so many objects.
            raise ValueError(f"cannot make {self._class.__name__} with {kwargs}: {error}") from error
        world: gymnasium.Env[Any, Any] = self._outer._object_centric_env
        return world

    def _own_states(self) -> States | None:
        """Return how states are read and set, or `None` if that is by replay."""
        if self._named:
            return FeatureStates(self.id, self._world, self._outer.observation_space, self.reset)
        if self._kind.family == MUJOCO:
            return IntegrationStates(self.id, self._world, lambda: self._seed, self.reset)
        return None

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        """Begin the episode of this seed. The observation is a state in the form of `object_centric`."""
        state, info = self.env.reset(seed=seed)
        self._seed, self._actions = seed, []
        return state_to_plain(state), _sendable(info)

    def step(self, action: Any) -> Step:
        """Apply an action."""
        state, reward, terminated, truncated, info = self.env.step(action)
        self._actions.append(action)
        over = bool(truncated) and not terminated
        return Step(state_to_plain(state), float(reward), bool(terminated), over, _sendable(info))

    def render(self) -> NDArray[np.uint8]:
        """Return KinDER's picture."""
        return np.ascontiguousarray(super().render())

    def spaces(self) -> dict[str, Plain]:
        """Return the types of objects that a state can have. They are the same for any number of objects."""
        return {
            "action_space": space_to_plain(self.env.action_space),
            "observation_space": objects_to_plain(self._world.type_features),
        }

    def describe(self) -> str:
        """Return the task, with the meaning of every feature and of every component of the action."""
        return objects_description(self._kind, self._outer, self._given)

    def get_state(self) -> Plain:
        """Return the state."""
        if self._states is None:
            return super().get_state()
        if not self._named:
            return self._states.get()
        numbers = iter(self._states.get().tolist())
        return {thing.name: {name: next(numbers) for name in names} for thing, names in self._features()}

    def set_state(self, state: Plain) -> None:
        """Set a state. Raise `ValueError` for one that this environment cannot have."""
        if self._states is None:
            super().set_state(state)
        else:
            self._states.set(self._numbers(state) if self._named else state)

    def _check_action_collision(self, collides: Callable[[Plain, Plain], bool], state: Plain, action: Plain) -> bool:
        """Return whether an action would collide in a state or in an observation, which may have other objects."""
        observed = isinstance(state, dict) and state.keys() == {"objects", "values"}
        return collides(state if observed else self._numbers(state), action)

    def _numbers(self, state: Plain) -> list[Plain]:
        """Return the features of all objects in their order. Raise `ValueError` for other objects or features."""
        wanted = {thing.name: names for thing, names in self._features()}
        if not isinstance(state, dict) or set(state) != set(wanted):
            raise ValueError(f"a state has exactly the objects {', '.join(wanted)}")
        for thing, names in wanted.items():
            if not isinstance(state[thing], dict) or set(state[thing]) != set(names):
                raise ValueError(f"{thing} has exactly the features {', '.join(names)}")
        return [state[thing][name] for thing, names in wanted.items() for name in names]

    def _features(self) -> list[tuple[Any, list[str]]]:
        space = self._outer.observation_space
        return [(thing, space.type_features[thing.type]) for thing in space.constant_objects]

    def close(self) -> None:
        """Free the environment's engines. The last one in a process also removes the meshes that MuJoCo wrote.

        KinDER leaves the client of PyBullet open, which takes 250 MB.
        """
        client = getattr(self._world, "physics_client_id", None)
        super().close()
        bullet = sys.modules.get("pybullet")
        if client is not None and bullet is not None:
            with suppress(bullet.error):  # it may be closed
                bullet.disconnect(physicsClientId=client)
        KinderObjects._open -= 1
        if not KinderObjects._open:
            remove_meshes()

    @property
    def _world(self) -> Any:
        """The environment, with the members that only KinDER's have."""
        return self.env


def _divided(given: Mapping[str, Any], split: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the arguments, with those in `split` divided between others."""
    arguments = dict(given)
    for name, parts in split.items():
        total = arguments.pop(name, None)
        if type(total) is not int or not parts:
            raise ValueError(f"split: {name} is divided between arguments, so it must be a whole number, not {total!r}")
        arguments |= {part: (total + index) // len(parts) for index, part in enumerate(parts)}
    return arguments


def _sendable(info: Mapping[str, Any]) -> dict[str, Plain]:
    return {str(key): value for key, value in info.items() if isinstance(value, bool | int | float | str)}
