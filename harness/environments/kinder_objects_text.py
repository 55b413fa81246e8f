"""What an agent is told of a KinDER environment whose observations are object-centric states, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.environments.fidelity import sentence
from harness.environments.kinder_families import MUJOCO, KinderClass
from harness.environments.kinder_meanings import action_rule, feature_meaning
from harness.environments.kinder_text import (
    action_rows,
    engine_text,
    fixed_things,
    reward_text,
    state_text,
    task_text,
)
from harness.environments.kinder_text import world_text as world_of

BY_NAME = "A state, where a tool asks for one, has every object by its name: `{object: {feature: number}}`."
"""The form of a state that has all features."""


def objects_description(kind: KinderClass, env: Any, given: Mapping[str, Any]) -> str:
    """Return the description of an environment. `env` is KinDER's, and `given` are the arguments that it was made with.

    KinDER's own description of the variant is left out, because it also tells of others.
    """
    space, world, metadata, actions = env.observation_space, env._object_centric_env, env.metadata, env.action_space
    state = state_text(kind.family)
    return _DESCRIPTION.format(
        task=task_text(kind.family, world, metadata["description"]),
        name=type(env).__name__,
        engine=engine_text(kind.family),
        world=world_of(kind.family, world),
        fixed=fixed_things(kind.family, world, space),
        example=", ".join(f"`{name}` = {value}" for name, value in given.items()) or "the default arguments",
        kinds="\n\n".join(_kinds(kind, space)),
        state=BY_NAME if named_states(kind) else state,
        fidelity=sentence(kind.family.fidelity),
        shape=actions.shape,
        dtype=actions.dtype,
        actions="\n".join(action_rows(actions)),
        rule=f"\n{rule}\n" if (rule := action_rule(actions)) else "",
        reward=reward_text(kind, world, metadata["reward_description"]),
    )


def named_states(kind: KinderClass) -> bool:
    """Return whether the state of such an environment is the features of all objects."""
    return kind.family.fidelity == "exact" and kind.family != MUJOCO


def _kinds(kind: KinderClass, space: Any) -> Iterator[str]:
    """Yield a table for each kind of object: the meaning of its features."""
    names: dict[tuple[Any, tuple[tuple[str, str], ...]], list[str]] = {}
    for thing in space.constant_objects:
        rows = tuple((name, feature_meaning(kind.family, thing, name)) for name in space.type_features[thing.type])
        names.setdefault((thing.type, rows), []).append(thing.name)
    for (of_type, rows), things in names.items():
        above = f", a kind of `{of_type.parent.name}`" if of_type.parent else ""
        shown = "\n".join(f"| {name} | {meaning} |" for name, meaning in rows)
        yield _KIND.format(type=of_type.name, above=above, things=", ".join(things), rows=shown)


_KIND = """\
Type `{type}`{above}: {things}.

| feature | meaning |
| --- | --- |
{rows}"""

_DESCRIPTION = """\
## Task
{task}

It is KinDER's `{name}`{engine}. An episode is solved when it terminates.
{world}{fixed}
## Observation
An `ObjectCentricState` of the package `relational_structs`. It has typed objects with named features:

- `state.get_object_names()`, `state.get_object_from_name(name)` and `state.get_objects(type)` return the objects.
  `observation_space.get_type(name)` returns a type. An object is also of the types that its own is a kind of.
- `state.get(object, feature)` returns a number, and `state.type_features[object.type]` the names of the features.

These are the objects with {example}:

{kinds}

{state} {fidelity}

## Action
A NumPy vector or list of shape {shape}; it is cast to {dtype}. A number out of its bounds is an invalid action and ends
the episode.

| index | component | meaning | least | most |
| --- | --- | --- | --- | --- |
{actions}
{rule}
## Reward
{reward}
"""
