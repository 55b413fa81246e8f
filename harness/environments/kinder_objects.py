"""KinDER environments whose observations are object-centric states, for programs that play any number of objects."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import gymnasium
import matplotlib as mpl
import numpy as np
from kinder.core import ConstantObjectKinDEREnv
from numpy.typing import NDArray
from relational_structs.object_centric_state import ObjectCentricState

from harness.environments.base import Plain, Step
from harness.environments.gymnasium_adapter import GymnasiumEnvironment
from harness.environments.object_centric import space_to_plain as objects_to_plain
from harness.environments.object_centric import state_to_plain
from harness.environments.spaces import space_to_plain
from harness.imports import load_object

_LARGEST = 1000
"""The largest number of a state. A world is a few units wide, and no feature is larger than the layer 101."""

_EXACT = "kinder.envs.kinematic2d."
"""The modules of environments without physics: what is in the state is all that there is."""


class KinderObjects(GymnasiumEnvironment):
    """The KinDER environment of the class at an import path, such as `kinder.envs.kinematic2d.motion2d:Motion2DEnv`.

    `given` are arguments of that class, such as `num_passages`. `split` maps the name of an argument to those that it
    is divided between, evenly; the last ones get what is left. KinDER terminates exactly when the task is solved.

    In an environment of `kinematic2d`, the state has every object with its features, without rounding. In the others,
    it is a seed and actions, which are played again. Raise `ValueError` for a class or a number that does not work.
    """

    def __init__(
        self, environment: str, max_steps: int, split: Mapping[str, Sequence[str]] | None = None, **given: Any
    ) -> None:
        mpl.use("agg")  # pictures are drawn off screen, from any thread
        found = load_object(environment)
        if not isinstance(found, type) or not issubclass(found, ConstantObjectKinDEREnv):
            raise ValueError(f"environment: {environment} is not a KinDER environment with a fixed number of objects")
        self._class: type[Any] = found
        self._exact = found.__module__.startswith(_EXACT)
        self._given = given
        super().__init__(environment, max_steps, _divided(given, split or {}))

    def _make(self, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
        try:
            self._outer = self._class(allow_state_access=True, **kwargs)
        except (TypeError, RuntimeError, AssertionError) as error:
            # KinDER raises RuntimeError where it finds no room for so many objects.
            raise ValueError(f"cannot make {self._class.__name__} with {kwargs}: {error}") from error
        world: gymnasium.Env[Any, Any] = self._outer._object_centric_env
        return world

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

    def spaces(self) -> dict[str, Plain]:
        """Return the types of objects that a state can have. They are the same for any number of objects."""
        return {
            "action_space": space_to_plain(self.env.action_space),
            "observation_space": objects_to_plain(self._world.type_features),
        }

    def describe(self) -> str:
        """Return KinDER's own documentation, with every type, feature and component of the action named."""
        metadata, action = self._outer.metadata, self._world.action_space
        things, features = self._outer._constant_objects, self._world.type_features
        return _DESCRIPTION.format(
            name=self.id,
            task=inspect.cleandoc(metadata["description"]).strip(),
            types="\n".join(_type_rows(things, features)),
            objects="\n".join(f"| {thing.name} | {thing.type.name} |" for thing in things),
            example=", ".join(f"`{name}` = {value}" for name, value in self._given.items()) or "the default arguments",
            state=_OBJECTS if self._exact else _REPLAYED,
            action=action.create_markdown_description().strip(),
            shape=action.shape,
            dtype=action.dtype,
            reward=metadata["reward_description"].strip(),
        )

    def get_state(self) -> Plain:
        """Return each object's features by name. For an environment with physics, return the seed and the actions."""
        if not self._exact:
            return super().get_state()
        state = self._world.get_state()
        return {thing.name: dict(_features(state, thing)) for thing in state.data}

    def set_state(self, state: Plain) -> None:
        """Set a state of the same objects.

        Raise `ValueError` for other objects or features, and for numbers that are not finite or absurdly large.
        """
        if not self._exact:
            super().set_state(state)
            return
        things = self._outer._constant_objects
        if not isinstance(state, dict) or set(state) != {thing.name for thing in things}:
            raise ValueError(f"a state has exactly the objects {', '.join(thing.name for thing in things)}")
        data: dict[Any, Any] = {thing: self._row(thing, state[thing.name]) for thing in things}
        self.env.reset(seed=0)
        self._world.set_state(ObjectCentricState(data, self._world.type_features))

    def _row(self, thing: Any, given: Plain) -> NDArray[np.float64]:
        """Return the features of an object in their order."""
        names = self._world.type_features[thing.type]
        if not isinstance(given, dict) or set(given) != set(names):
            raise ValueError(f"{thing.name} has exactly the features {', '.join(names)}")
        for name in names:
            number = given[name]
            if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= _LARGEST:
                raise ValueError(
                    f"{thing.name}.{name} must be a number from {-_LARGEST} to {_LARGEST}; got {number!r:.80}"
                )
        return np.array([given[name] for name in names], np.float64)

    def close(self) -> None:
        """Free the environment's engines. KinDER leaves the client of PyBullet open, which takes 250 MB."""
        client = getattr(self._world, "physics_client_id", None)
        super().close()
        bullet = sys.modules.get("pybullet")
        if client is not None and bullet is not None:
            with suppress(bullet.error):  # it may be closed
                bullet.disconnect(physicsClientId=client)

    @property
    def _world(self) -> Any:
        """The environment, with the members that only KinDER's have."""
        return self.env


def _divided(given: Mapping[str, Any], split: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the arguments, with those in `split` divided between others."""
    arguments = dict(given)
    for name, parts in split.items():
        total = arguments.pop(name)
        if type(total) is not int or not parts:
            raise ValueError(f"split: {name} is divided between arguments, so it must be a whole number, not {total!r}")
        arguments |= {part: (total + index) // len(parts) for index, part in enumerate(parts)}
    return arguments


def _sendable(info: Mapping[str, Any]) -> dict[str, Plain]:
    return {str(key): value for key, value in info.items() if isinstance(value, bool | int | float | str)}


def _features(state: ObjectCentricState, thing: Any) -> Iterator[tuple[str, float]]:
    for name, value in zip(state.type_features[thing.type], state.data[thing], strict=True):
        yield name, float(value)


def _type_rows(things: Sequence[Any], features: Mapping[Any, Sequence[str]]) -> Iterator[str]:
    for kind in dict.fromkeys(thing.type for thing in things):
        above = f" (a {kind.parent.name})" if kind.parent else ""
        yield f"| {kind.name}{above} | {', '.join(features[kind])} |"


_OBJECTS = "A state, where a tool asks for one, has every object by its name: `{object: {feature: number}}`."
_REPLAYED = (
    "A state, where a tool asks for one, is "
    '`{"seed": int, "actions": [...]}`: what these actions lead to after a reset of this seed.'
)

_DESCRIPTION = """\
## Task
{task}

The KinDER environment is `{name}`. An episode is solved when it terminates.

## Observation
An `ObjectCentricState` of the package `relational_structs`. It has typed objects with named features:

- `state.get_object_names()`, `state.get_object_from_name(name)` and `state.get_objects(type)` return the objects.
  `type` is one of `observation_space.types`, and `observation_space.get_type(name)` returns it. An object is also of
  the types above its own.
- `state.get(object, feature)` returns a number, and `state.type_features[object.type]` the names of the features.

| type | features |
| --- | --- |
{types}

These are the objects with {example}:

| object | type |
| --- | --- |
{objects}

{state}

## Action
A NumPy vector or list of shape {shape}; it is cast to {dtype}. A number out of its bounds is an invalid action and ends
the episode.

{action}

## Reward
{reward}
"""
