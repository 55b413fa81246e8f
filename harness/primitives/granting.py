"""Which primitives a program is given, and what it is told about them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import Struct

from harness.environment_conf import PrimitiveLevel

_HERE = Path(__file__).parent


class Primitive(NamedTuple):
    """A primitive. It comes from a `module` of this package, or is asked of the environment if that is `None`.

    It is the `attribute` of the module, or the module itself if that is `None`. `text` tells a program's author.
    """

    text: str
    module: str | None = None
    attribute: str | None = None


PRIMITIVES: Final[dict[str, Primitive]] = {
    "check_action_collision": Primitive(
        "`check_action_collision(state, action)` returns true if `action` (as `get_action` returns it) in "
        "`state` (as an observation or as the environment's state) would move the robot or what it holds into"
        " an obstacle or a wall, so that nothing moves. The state of the episode does not change."
    ),
    "BiRRT": Primitive(
        "`BiRRT(sample_fn, extend_fn, collision_fn, distance_fn, rng, num_attempts, num_iters, smooth_amt)` "
        "is a bidirectional RRT for states of any kind. `query(start, goal)` returns a list of states from "
        "start to goal that are free of collisions, or None. `sample_fn(state)` returns a random state, "
        "`extend_fn(one, other)` the states on the way to the other, `collision_fn(state)` a bool, "
        "`distance_fn(one, other)` a number, and `rng` is a `numpy.random.Generator`.",
        "motion_planning",
        "BiRRT",
    ),
    "csp": Primitive(
        "`csp` is a module for constraint satisfaction: `CSPVariable(name, domain)`, "
        "`FunctionalCSPConstraint(name, variables, fn)`, `LogProbCSPConstraint(name, variables, fn, "
        "threshold)`, `CSPCost(name, variables, fn)`, `CSP(variables, constraints, cost=None)`, "
        "`FunctionalCSPSampler(fn, csp, sampled_vars)` with `fn(current_values, rng)`, and "
        "`RandomWalkCSPSolver(seed).solve(csp, initialization, samplers)`, which returns a value for each "
        "variable, or None.",
        "csp",
    ),
    "inverse_kinematics": Primitive(
        "`inverse_kinematics(state, position, orientation)` returns the joint positions (radians) of the arm,"
        " near those in `state`, with which its end effector is at `position` (x, y, z in metres) with "
        "`orientation` (a quaternion x, y, z, w) in the world, or None. Obstacles are not looked at."
    ),
}
"""All primitives, by the names under which a program finds them."""

_LEVELS: Final[dict[PrimitiveLevel, tuple[str, ...]]] = {
    "none": (),
    "low_level": ("check_action_collision", "BiRRT"),
    "planning": tuple(PRIMITIVES),
}


class Granted(Struct, frozen=True):
    """The primitives that a program is given, by name. `level` may be `none`, and then there are none."""

    level: PrimitiveLevel = "none"
    names: tuple[str, ...] = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """Those that are asked of the environment."""
        return tuple(name for name in self.names if PRIMITIVES[name].module is None)

    @property
    def files(self) -> dict[str, Path]:
        """The files of the others, by the names of their modules."""
        modules = (PRIMITIVES[name].module for name in self.names)
        return {module: _HERE / f"{module}.py" for module in modules if module is not None}

    @property
    def told(self) -> dict[str, str]:
        """What is told about each."""
        return {name: PRIMITIVES[name].text for name in self.names}

    def request(self) -> dict[str, Any] | None:
        """Return what the worker of a policy needs to give them, as plain data, or `None` at the level `none`."""
        if self.level == "none":
            return None
        modules = {
            name: [str(self.files[one.module]), one.attribute]
            for name in self.names
            if (one := PRIMITIVES[name]).module is not None
        }
        return {"modules": modules, "asked": list(self.asked)}


NOTHING: Final = Granted()


def granted(level: PrimitiveLevel, offered: Collection[str]) -> Granted:
    """Return the primitives of a level, of those that need the environment only the `offered` ones."""
    return Granted(level, tuple(_available(_LEVELS[level], offered)))


def _available(names: Iterable[str], offered: Collection[str]) -> Iterable[str]:
    return (name for name in names if PRIMITIVES[name].module is not None or name in offered)
