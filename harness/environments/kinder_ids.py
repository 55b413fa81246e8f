"""The environments of KinDER 0.2.5: their ids by class, and what each needs.

KinDER registers an id only where its engine can be imported. This table says it without importing anything. `make
worlds` checks it against KinDER.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Final, NamedTuple


class World(NamedTuple):
    """A class of environments. `engine` is a key of `harness.environments.engines.ENGINES`.

    An engine of `None` means that the class runs in Proctor's own Python, with the extra `kinder`. `variants` are the
    parts of the ids that tell the environments of the class apart, with blanks between them. A class with one
    environment may have no such part.
    """

    family: str
    engine: str | None
    variants: str


class CompiledModule(NamedTuple):
    """A module that is compiled from the source in a folder of the installed packages."""

    folder: str
    module: str


IKFAST: Final = CompiledModule("pybullet_helpers/third_party/ikfast/kortex", "ikfast_kortex")
"""The inverse kinematics of the arm that every KinDER robot with PyBullet has."""


PREFIX: Final = "kinder/"

CLASSES: Final[dict[str, World]] = {
    "ClutteredRetrieval2D": World("kinematic2d", None, "o1 o10 o25"),
    "ClutteredStorage2D": World("kinematic2d", None, "b1 b3 b7 b15"),
    "Motion2D": World("kinematic2d", None, "p0 p1 p2 p3 p4 p5"),
    "Obstruction2D": World("kinematic2d", None, "o0 o1 o2 o3 o4"),
    "PushPullHook2D": World("kinematic2d", None, ""),
    "StickButton2D": World("kinematic2d", None, "b1 b2 b3 b5 b10"),
    "DynObstruction2D": World("dynamic2d", "pymunk", "o0 o1 o2 o3"),
    "DynPushPullHook2D": World("dynamic2d", "pymunk", "o0 o1 o5"),
    "DynPushT2D": World("dynamic2d", "pymunk", "t1"),
    "DynScoopPour2D": World("dynamic2d", "pymunk", "o10 o20 o30 o50"),
    "BaseMotion3D": World("kinematic3d", "pybullet", ""),
    "KinematicCylinderShelf3D": World("kinematic3d", "pybullet", "o1 o2 o3"),
    "KinematicShelf3D": World("kinematic3d", "pybullet", "o1 o2 o3 o5 o10"),
    "Obstruction3D": World("kinematic3d", "pybullet", "o0 o1 o2 o3 o4"),
    "Packing3D": World("kinematic3d", "pybullet", "p1 p2 p3"),
    "PrplLab3D": World("kinematic3d", "pybullet", "o1 o2"),
    "Table3D": World("kinematic3d", "pybullet", "o1 o2 o3"),
    "Transport3D": World("kinematic3d", "pybullet", "o1 o2"),
    "VegaMotion3D": World("kinematic3dv2", "prpl_kinematics", ""),
    "VegaPickPlace3D": World("kinematic3dv2", "prpl_kinematics", ""),
    "BalanceBeam3D": World("dynamic3d", "mujoco", "o3"),
    "ConstrainedCupboard3D": World("dynamic3d", "mujoco", "o1 o2 o3 o4 o5 o6"),
    "Dynamo3D": World("dynamic3d", "mujoco", "o1 o3 o12"),
    "FrankaPickPlace3D": World("dynamic3d", "mujoco", "o1"),
    "LimbRepositioning3D": World(
        "dynamic3d",
        "ikfast",
        "bed-left-arm bed-left-leg bed-right-arm bed-right-leg human-left-arm human-left-leg human-right-arm "
        "human-right-leg isolated-left-arm isolated-left-leg isolated-right-arm isolated-right-leg "
        "wheelchair-left-arm wheelchair-left-leg wheelchair-right-arm wheelchair-right-leg",
    ),
    "PickPlace3D": World("dynamic3d", "mujoco", "o1"),
    "Rearrange3D": World(
        "dynamic3d",
        "mujoco",
        "o1-put_the_boxed_drink_behind_the_bowl o1-put_the_boxed_drink_in_front_of_the_bowl "
        "o1-put_the_boxed_drink_next_to_the_bowl o1-put_the_boxed_drink_on_the_left_side_of_the_bowl "
        "o1-put_the_boxed_drink_on_the_right_side_of_the_bowl "
        "o2-put_the_boxed_drink_and_the_can_next_to_the_bowl "
        "o2-put_the_boxed_drink_in_front_of_and_the_can_behind_the_bowl "
        "o2-put_the_boxed_drink_on_the_left_and_the_can_on_the_right_side_of_the_bowl "
        "o2-put_the_can_in_front_of_and_the_boxed_drink_behind_the_bowl "
        "o2-put_the_can_on_the_left_and_the_boxed_drink_on_the_right_side_of_the_bowl",
    ),
    "ScoopPour3D": World("dynamic3d", "mujoco", "o10 o20 o30 o40 o50 o100"),
    "Shelf3D": World("dynamic3d", "mujoco", "o1 o2 o3 o4 o6 o8"),
    "SortClutteredBlocks3D": World(
        "dynamic3d",
        "mujoco",
        "o4-sort_the_cluttered_blocks_into_bins o12-sort_the_blocks_into_the_cupboard "
        "o20-sort_the_cluttered_blocks_into_bins o20-sort_the_cluttered_blocks_into_bowls",
    ),
    "SweepIntoDrawer3D": World("dynamic3d", "mujoco", "o5"),
    "SweepSimple3D": World(
        "dynamic3d",
        "mujoco",
        "o1-sweep_the_blocks_to_the_left_side_of_the_kitchen_island "
        "o5-sweep_the_blocks_to_the_left_side_of_the_kitchen_island "
        "o10-sweep_the_blocks_to_the_left_side_of_the_kitchen_island "
        "o50-sweep_the_blocks_to_the_left_side_of_the_kitchen_island "
        "o50-sweep_the_blocks_to_the_right_side_of_the_kitchen_counter "
        "o50-sweep_the_blocks_to_the_right_side_of_the_kitchen_island",
    ),
    "Tossing3D": World("dynamic3d", "mujoco", "o1 o2"),
}
"""The classes, by name and in the order of their families."""


def world_of(kinder_id: str) -> World | None:
    """Return the class of an environment, or `None` if KinDER has no such id."""
    return _IDS.get(kinder_id)


def ids_of(name: str) -> list[str]:
    """Return the ids of a class, by its name."""
    variants: list[str] = CLASSES[name].variants.split() or [""]
    return [f"{PREFIX}{name}{f'-{variant}' if variant else ''}-v0" for variant in variants]


def all_ids() -> list[str]:
    """Return all ids, in the order of the classes."""
    return list(_IDS)


def by_engine() -> dict[tuple[str, str | None], list[str]]:
    """Return the ids of each family and engine."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for one, world in _IDS.items():
        found.setdefault((world.family, world.engine), []).append(one)
    return found


def engine_of_class(path: str) -> str | None:
    """Return the engine that a class of KinDER needs, by its import path, or `None` if it needs none."""
    package = path.removeprefix("kinder.envs.").partition(".")[0].replace("_", "")
    return next((world.engine for world in CLASSES.values() if world.family == package), None)


def require_id(kinder_id: str) -> World:
    """Return the class of an environment. Raise `ValueError` for an unknown id, and name near ones."""
    world = world_of(kinder_id)
    if world is not None:
        return world
    names = {short_name(one): one for one in _IDS}
    close = difflib.get_close_matches(short_name(kinder_id), names, n=5)
    near = ", ".join(names[one] for one in close)
    hint = f"did you mean one of {near}?" if near else f"its classes are {', '.join(CLASSES)}"
    raise ValueError(f"KinDER has no environment {kinder_id!r}; {hint}")


def short_name(kinder_id: str) -> str:
    """Return the name of the environment with this id: `motion2d_p1` for `kinder/Motion2D-p1-v0`."""
    return re.sub(r"[^a-z0-9]+", "_", kinder_id.removeprefix(PREFIX).removesuffix("-v0").lower())


def entry_name(text: str) -> str:
    """Return the name of the environment that an id stands for. Any other text is returned as it is."""
    return short_name(text) if text.startswith(PREFIX) else text


def with_names(expression: str) -> str:
    """Return an expression of `-k` in which each known id is replaced by its name."""
    return re.sub(rf"{PREFIX}[\w-]+", lambda found: short_name(found[0]) if found[0] in _IDS else found[0], expression)


def _every() -> Iterator[tuple[str, World]]:
    for name, world in CLASSES.items():
        yield from ((one, world) for one in ids_of(name))


_IDS: Final = dict(_every())
