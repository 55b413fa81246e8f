"""What an agent is told of a KinDER environment, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from relational_structs.spaces import ObjectCentricBoxSpace

from harness.environments.fidelity import sentence
from harness.environments.kinder_families import DYNAMIC2D, KINEMATIC2D, MUJOCO, Family, KinderClass
from harness.environments.kinder_goals import goal_text
from harness.environments.kinder_meanings import action_components, action_rule, feature_meaning

_FLAT = (KINEMATIC2D, DYNAMIC2D)
_BORDER = frozenset({"bottom_wall", "left_wall", "right_wall", "top_wall"})
_LONGEST_TABLE = 100
"""The largest size of an observation that is told component by component. A prompt has to be paid for."""
_UNTOLD = ("color_", "static", "vx", "vy", "omega", "held")
"""How features of fixed things begin that tell nothing."""
_DECIMALS = 3

_WRONG_REWARDS = {"Table3D": "-1 a step."}
"""The rewards of classes whose own description states another one than they give."""


def description(id: str, kind: KinderClass, env: Any, max_steps: int) -> str:  # noqa: A002 - the configuration's name
    """Return the description of an environment of this class. `env` is KinDER's."""
    space, world, metadata = env.observation_space, env.unwrapped._object_centric_env, env.unwrapped.metadata
    actions = env.action_space
    return _DESCRIPTION.format(
        task=task_text(kind.family, world, metadata["description"]),
        variant=_variant(metadata["variant_specific_description"]),
        id=id,
        engine=engine_text(kind.family),
        max_steps=max_steps,
        world=world_text(kind.family, world),
        fixed=fixed_things(kind.family, world, space),
        size=space.shape[0],
        dtype=space.dtype,
        observation=_observation(kind.family, space),
        state=state_text(kind.family),
        fidelity=sentence(kind.family.fidelity),
        shape=actions.shape,
        action_dtype=actions.dtype,
        actions="\n".join(action_rows(actions)),
        rule=f"\n{rule}\n" if (rule := action_rule(actions)) else "",
        reward=reward_text(kind, world, metadata["reward_description"]),
    )


def state_text(family: Family) -> str:
    """Return what a state of an environment of this family looks like."""
    return _INTEGRATION if family == MUJOCO else _STATES[family.fidelity]


def observation_rows(family: Family, space: ObjectCentricBoxSpace) -> Iterator[str]:
    """Yield a row for each component of an observation: its index, object, feature and meaning."""
    index = 0
    for thing in space.constant_objects:
        for feature in space.type_features[thing.type]:
            yield f"| {index} | {thing.name} | {feature} | {feature_meaning(family, thing, feature)} |"
            index += 1


def _observation(family: Family, space: ObjectCentricBoxSpace) -> str:
    """Return a table of all components. Of many, return a table of the objects, and one of each type's features."""
    if space.shape[0] <= _LONGEST_TABLE:
        return _COMPONENTS.format("\n".join(observation_rows(family, space)))
    objects: list[str] = []
    features: list[str] = []
    first = 0
    alike: dict[tuple[str, ...], int] = {}
    for thing in space.constant_objects:
        names = space.type_features[thing.type]
        meanings = tuple(feature_meaning(family, thing, name) for name in names)
        number = alike.setdefault((*names, *meanings), len(alike) + 1)
        if number > len(features):
            features.append(_FEATURES.format(number, "\n".join(_offset_rows(names, meanings))))
        objects.append(f"| {thing.name} | {first} | {first + len(names) - 1} | {number} |")
        first += len(names)
    return _OBJECTS.format(objects="\n".join(objects), features="\n\n".join(features))


def _offset_rows(names: Sequence[str], meanings: Sequence[str]) -> Iterator[str]:
    for offset, (name, meaning) in enumerate(zip(names, meanings, strict=True)):
        yield f"| {offset} | {name} | {meaning} |"


def action_rows(space: Any) -> Iterator[str]:
    """Yield a row for each component of an action: its index, name, meaning and bounds."""
    for index, component in enumerate(action_components(space)):
        least, most = (_inside(bound[index], space.dtype) for bound in (space.low, space.high))
        yield f"| {index} | {component.name} | {component.meaning} | {least} | {most} |"


def _inside(bound: Any, dtype: Any) -> str:
    """Return a bound with a few decimals, which do not lie beyond it."""
    text = f"{bound:.{_DECIMALS}f}"
    if abs(np.asarray(float(text)).astype(dtype)) <= abs(bound):
        return text
    return f"{bound - np.copysign(10.0**-_DECIMALS, bound):.{_DECIMALS}f}"


def task_text(family: Family, world: Any, told: str) -> str:
    """Return the task. MuJoCo's descriptions go on to name actions that these environments do not have."""
    return str(world.task_config.get("description", told)) if family == MUJOCO else told.strip()


def _variant(told: str) -> str:
    return "" if told.startswith("No variant-specific") else f"{told.strip()} "


def engine_text(family: Family) -> str:
    """Return which engine simulates the environments of a family, as the rest of a sentence."""
    return "" if family == KINEMATIC2D else f", simulated by {family.engine}"


def world_text(family: Family, world: Any) -> str:
    """Return how large the world is, and what happens where things touch."""
    if family not in _FLAT:
        return _WORLD_3D
    bounds = (getattr(world.config, f"world_{end}_{axis}") for axis in "xy" for end in ("min", "max"))
    return (_WORLD_GEOMETRY if family == KINEMATIC2D else _WORLD_PHYSICS).format(*bounds)


def fixed_things(family: Family, world: Any, space: ObjectCentricBoxSpace) -> str:
    """Return the things of a 2D world that never move and are not observed, without the walls round it."""
    if family not in _FLAT:
        return ""
    fixed, seen = world.initial_constant_state, {thing.name for thing in space.constant_objects}
    rows = [
        f"| {thing.name} | {feature} | {fixed.get(thing, feature):g} | {feature_meaning(family, thing, feature)} |"
        for thing in fixed
        if thing.name not in seen | _BORDER
        for feature in fixed.type_features[thing.type]
        if not feature.startswith(_UNTOLD)
    ]
    return _FIXED.format("\n".join(rows)) if rows else ""


def reward_text(kind: KinderClass, world: Any, told: str) -> str:
    """Return what is rewarded, and for MuJoCo what solves an episode."""
    if kind.family == MUJOCO:
        return f"-1 a step. {goal_text(world)}"
    return _WRONG_REWARDS.get(kind.name, told.strip())


_WORLD_GEOMETRY = """
The world is the rectangle x in [{}, {}], y in [{}, {}], y upwards, with walls all round that are not part of the
observation. A step that would make the robot (base, arm or gripper) touch a wall or an obstacle moves nothing at all.
"""

_WORLD_PHYSICS = """
The world is the rectangle x in [{}, {}], y in [{}, {}], y upwards, with walls all round that are not part of the
observation. Things push each other.
"""

_WORLD_3D = """
Lengths are in metres; z points upwards.
"""

_FIXED = """
These things never move, and are not part of the observation:

| object | feature | value | meaning |
| --- | --- | --- | --- |
{}
"""

_COMPONENTS = """:

| index | object | feature | meaning |
| --- | --- | --- | --- |
{}"""

_OBJECTS = """: the features of one object after another.

| object | first index | last index | features |
| --- | --- | --- | --- |
{objects}

The index of a component is the first index of its object, plus the offset of the feature.

{features}"""

_FEATURES = """\
Features {}:

| offset | feature | meaning |
| --- | --- | --- |
{}"""

_STATES: dict[str, str] = {
    "exact": "The same vector is the environment's state.",
    "replay": 'A state, where a tool asks for one, is `{"seed": int, "actions": [...]}`.',
}
"""What a state looks like, by how faithful it is."""

_INTEGRATION = (
    'A state, where a tool asks for one, is `{"seed": int, "state": [...]}` as the environment gives it: the seed, and '
    "all numbers of the simulation."
)

_DESCRIPTION = """\
## Task
{task}

{variant}The KinDER environment is `{id}`{engine}. An episode is solved when it terminates; it ends unsolved after
{max_steps} steps.
{world}{fixed}
## Observation
A NumPy vector of {size} numbers ({dtype}){observation}

{state} {fidelity}

## Action
A NumPy vector or list of shape {shape}; it is cast to {action_dtype}. A number out of its bounds is an invalid action
and ends the episode.

| index | component | meaning | least | most |
| --- | --- | --- | --- | --- |
{actions}
{rule}
## Reward
{reward}
"""
