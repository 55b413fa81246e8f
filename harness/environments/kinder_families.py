"""The families of KinDER's environments: the engine of each, and how faithful its states are."""

from __future__ import annotations

from typing import Any, NamedTuple

import kinder

from harness.environments.fidelity import Fidelity


class Family(NamedTuple):
    """A family of environments with one engine. `fidelity` is that of its states."""

    name: str
    engine: str
    fidelity: Fidelity


KINEMATIC2D = Family("kinematic2d", "geometry", "exact")
DYNAMIC2D = Family("dynamic2d", "Pymunk", "replay")
KINEMATIC3D = Family("kinematic3d", "PyBullet", "exact")
KINEMATIC3D_V2 = Family("kinematic3dv2", "PyBullet", "exact")
LIMB = Family("dynamic3d", "PyBullet", "replay")
MUJOCO = Family("dynamic3d", "MuJoCo", "exact")

_FAMILIES = {
    ("Kinematic2D", "tomsgeoms2d"): KINEMATIC2D,
    ("Dynamic2D", "pymunk"): DYNAMIC2D,
    ("Kinematic3D", "pybullet"): KINEMATIC3D,
    ("Kinematic3Dv2", "prpl_kinematics"): KINEMATIC3D_V2,
    ("Dynamic3D", "pybullet"): LIMB,
    ("Dynamic3D", "mujoco"): MUJOCO,
}
"""The family of each category and backend, as KinDER registers its classes."""


def family_of_class(path: str) -> Family:
    """Return the family of a class, by its import path. Raise `ValueError` for one that is not KinDER's."""
    package, _, module = path.removeprefix("kinder.envs.").replace("_v2", "v2").partition(".")
    if module.startswith("limb"):
        return LIMB
    found = next((family for family in _FAMILIES.values() if family.name == package and family != LIMB), None)
    if found is None:
        raise ValueError(f"{path} does not belong to a family of KinDER's environments")
    return found


class KinderClass(NamedTuple):
    """A class of KinDER's environments, such as `Motion2D`."""

    name: str
    family: Family
    ids: tuple[str, ...]


def classes() -> list[KinderClass]:
    """Return the classes whose engines are installed. KinDER must have registered them."""
    registered: dict[str, dict[str, Any]] = kinder.get_env_classes()
    return [
        KinderClass(name, _FAMILIES[facts["category"], facts["backend"]], tuple(sorted(facts["variants"])))
        for name, facts in registered.items()
    ]


def class_of(id: str) -> KinderClass:  # noqa: A002 - Gymnasium and the configuration use this name
    """Return the class of an environment. Raise `ValueError` if there is none, and say which ids there are."""
    known = classes()
    found = next((one for one in known if id in one.ids), None)
    if found is None:
        raise ValueError(
            f"there is no KinDER environment {id!r} here (a missing physics engine leaves its environments out); "
            f"available: {', '.join(sorted(name for one in known for name in one.ids))}"
        )
    return found
