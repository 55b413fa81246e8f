"""The meaning of every component of KinDER's observations and actions. Nothing but tables, and how to look them up.

Lengths are in world units in 2D and in metres in 3D. Angles are in radians, counter-clockwise. Velocities are per
second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from harness.environments.kinder_families import (
    DYNAMIC2D,
    KINEMATIC2D,
    KINEMATIC3D,
    KINEMATIC3D_V2,
    LIMB,
    MUJOCO,
    Family,
)

Features = dict[tuple[str, str], str]
"""Meanings by the type of an object and a feature. The type `""` stands for every type."""


class Component(NamedTuple):
    """A component of an action: its name and its meaning."""

    name: str
    meaning: str


def feature_meaning(family: Family, thing: Any, feature: str) -> str:
    """Return the meaning of a feature of an object. Return `""` if it is not known.

    The type of the object is looked up first, then the types that it is derived from.
    """
    table = _FEATURES[family]
    for name in _types(thing.type):
        if (name, feature) in table:
            return table[name, feature]
    return ""


def action_components(space: Any) -> list[Component]:
    """Return the components of an action space. Those of an unknown kind of space have no meaning."""
    known = _ACTIONS.get(type(space).__name__, [])
    if len(known) == space.shape[0]:
        return known
    return [Component(f"component {index}", "") for index in range(space.shape[0])]


def action_rule(space: Any) -> str:
    """Return what an action does that its components do not tell."""
    return _RULES.get(type(space).__name__, "")


def _types(type_: Any) -> Iterator[str]:
    while type_ is not None:
        yield type_.name
        type_ = type_.parent
    yield ""


_FLAT: Features = {
    ("", "theta"): "rotation about (x, y), radians, counter-clockwise",
    ("", "static"): "1 if it never moves",
    ("", "z_order"): "layer: 100 collides with everything, 101 with nothing, another one with its own layer",
    ("", "color_r"): "red, 0 to 1",
    ("", "color_g"): "green, 0 to 1",
    ("", "color_b"): "blue, 0 to 1",
    ("", "width"): "extent along x at theta 0",
    ("", "height"): "extent along y at theta 0",
    ("", "radius"): "radius",
    ("", "base_radius"): "radius of the round base",
    ("", "arm_joint"): "distance from the base's centre to the gripper",
    ("", "arm_length"): "largest arm_joint",
    ("lobject", "x"): "x of the outer corner of the L, upper right at theta 0",
    ("lobject", "y"): "y of the outer corner of the L, upper right at theta 0",
    ("lobject", "width"): "thickness of both sides of the L",
    ("lobject", "length_side1"): "length of the side along x at theta 0, to the left of the corner",
    ("lobject", "length_side2"): "length of the side along y at theta 0, below the corner",
}

_KINEMATIC2D: Features = {
    **_FLAT,
    ("crv_robot", "x"): "x of the centre of the round base",
    ("crv_robot", "y"): "y of the centre of the round base",
    ("crv_robot", "theta"): "direction of the arm, radians, counter-clockwise from +x",
    ("", "vacuum"): "1 if the vacuum is on",
    ("", "gripper_height"): "extent of the gripper across the arm",
    ("", "gripper_width"): "extent of the gripper along the arm",
    ("circle", "x"): "x of the centre",
    ("circle", "y"): "y of the centre",
    ("", "x"): "x of the corner that is lower left at theta 0",
    ("", "y"): "y of the corner that is lower left at theta 0",
    ("double_rectangle", "width"): "extent of both bookends and the space between them along x at theta 0",
    ("", "x1"): "x of the corner of the space between the bookends that is lower left at theta 0",
    ("", "y1"): "y of the corner of the space between the bookends that is lower left at theta 0",
    ("", "theta1"): "rotation of that space, equal to theta",
    ("", "width1"): "extent of that space along x at theta 0",
    ("", "height1"): "extent of that space along y at theta 0",
    ("", "z_order1"): "layer of that space",
    ("", "color_r1"): "red of that space, 0 to 1",
    ("", "color_g1"): "green of that space, 0 to 1",
    ("", "color_b1"): "blue of that space, 0 to 1",
}


def _moving(part: str, suffix: str) -> Features:
    """Return the meanings of the velocities of a part of the two-fingered robot."""
    return {
        ("kin_robot", f"vx_{suffix}"): f"velocity of the {part} along x",
        ("kin_robot", f"vy_{suffix}"): f"velocity of the {part} along y",
        ("kin_robot", f"omega_{suffix}"): f"angular velocity of the {part}, radians per second",
    }


_DYNAMIC2D: Features = {
    **_FLAT,
    ("kin_robot", "x"): "x of the centre of the round base",
    ("kin_robot", "y"): "y of the centre of the round base",
    ("kin_robot", "theta"): "direction of the arm, radians, counter-clockwise from +x",
    **_moving("base", "base"),
    **_moving("gripper's base", "arm"),
    **_moving("left finger", "gripper_l"),
    **_moving("right finger", "gripper_r"),
    ("", "gripper_base_width"): "extent of the gripper's base along the arm",
    ("", "gripper_base_height"): "extent of the gripper's base across the arm",
    ("", "finger_gap"): "distance between the two fingers",
    ("", "finger_height"): "extent of a finger across the arm",
    ("", "finger_width"): "extent of a finger along the arm",
    ("dot_robot", "theta"): "rotation of the round robot, without effect",
    ("", "x"): "x of the centre",
    ("", "y"): "y of the centre",
    ("", "vx"): "velocity along x",
    ("", "vy"): "velocity along y",
    ("", "omega"): "angular velocity, radians per second",
    ("", "held"): "1 if the robot holds it",
    ("", "mass"): "mass",
    ("", "size"): "length of each side of the square",
    ("tobject", "x"): "x of the middle of the T's top edge",
    ("tobject", "y"): "y of the middle of the T's top edge",
    ("tobject", "width"): "thickness of both bars of the T",
    ("tobject", "length_horizontal"): "length of the bar along x at theta 0",
    ("tobject", "length_vertical"): "length of the bar along y at theta 0, below the other one",
}


def _pose(prefix: str, of: str) -> dict[str, str]:
    """Return the meanings of the seven features of a pose."""
    position = {f"{prefix}{axis}": f"{axis} of {of}, metres" for axis in "xyz"}
    return position | {f"{prefix}q{axis}": f"{axis} of its orientation, a unit quaternion" for axis in "xyzw"}


def _joints(prefix: str, count: int, meaning: str) -> dict[str, str]:
    return {f"{prefix}{number}": meaning.format(number) for number in range(1, count + 1)}


def _of_type(name: str, meanings: dict[str, str]) -> Features:
    return {(name, feature): meaning for feature, meaning in meanings.items()}


_MOBILE_BASE = {
    "pos_base_x": "x of the robot's base, metres",
    "pos_base_y": "y of the robot's base, metres",
    "pos_base_rot": "rotation of the robot's base about z, radians",
}
_ARM_ANGLE = "angle of arm joint {}, counted from the base, radians"

_KINEMATIC3D: Features = {
    **_of_type("Kinematic3DRobot", _MOBILE_BASE | _joints("joint_", 7, _ARM_ANGLE)),
    **_of_type("Kinematic3DRobot", _pose("grasp_tf_", "the held object in the frame of the end effector")),
    ("Kinematic3DRobot", "finger_state"): "angle of the fingers, radians: 0 is open, 0.8 is closed",
    ("Kinematic3DRobot", "grasp_active"): "1 if the robot holds an object; if 0, all grasp_tf are 0",
    **_of_type("Kinematic3DCuboid", _pose("pose_", "the centre")),
    **_of_type("Kinematic3DTriangle", _pose("pose_", "the body's origin")),
    **_of_type("Kinematic3DFixture", _pose("pose_", "the model's origin")),
    ("", "grasp_active"): "1 if the robot holds it",
    ("", "object_type"): "-1: a cuboid (or, in the shelf of cylinders, a cylinder)",
    ("", "half_extent_x"): "half of its extent along its own x, metres",
    ("", "half_extent_y"): "half of its extent along its own y, metres",
    ("", "half_extent_z"): "half of its extent along its own z, metres",
    ("", "triangle_type"): "0: an equilateral triangle; 1: a right-angled one",
    ("", "side_a"): "first side of the triangle (of a right-angled one: its base), metres",
    ("", "side_b"): "second side of the triangle (of a right-angled one: its height), metres",
    ("", "depth"): "thickness of the triangle along its own z, metres",
    **{("Kinematic3DPoint", axis): f"{axis} of the point, metres" for axis in "xyz"},
}

_KINEMATIC3D_V2: Features = {
    **_of_type("", _joints("joint_", 7, "angle of the arm's joint {}, counted from the shoulder, radians")),
    ("", "grasping"): "1 if this arm holds the cube",
    **{("", axis): f"{axis} of the centre, metres" for axis in "xyz"},
}

_LIMB: Features = {
    **_of_type("Limb3DRobot", _MOBILE_BASE | _joints("joint_", 7, _ARM_ANGLE)),
    **_of_type("Limb3DRobot", _joints("joint_vel_", 7, "velocity of arm joint {}, radians per second")),
    **_of_type("Limb3DLimb", _joints("joint_", 6, "angle of the limb's joint {}, counted from the torso, radians")),
    **_of_type("Limb3DLimb", _joints("joint_vel_", 6, "velocity of the limb's joint {}, radians per second")),
    **_of_type("Limb3DLimb", _joints("goal_joint_", 6, "the angle that the limb's joint {} has to reach, radians")),
    **_of_type("Limb3DFixture", _pose("pose_", "the wheelchair's or bed's origin")),
}

_MUJOCO_ARM = _joints("pos_arm_joint", 7, _ARM_ANGLE) | _joints(
    "vel_arm_joint", 7, "velocity of arm joint {}, radians per second"
)
_MUJOCO_GRIPPER = {
    "pos_gripper": "the gripper's last command: 0 is open, 1 is closed",
    "vel_gripper": "velocity of the gripper's driving joint, radians per second",
}

_MUJOCO: Features = {
    **_of_type("", _pose("", "the body's origin")),
    **{("", f"v{axis}"): f"velocity along {axis}, metres per second" for axis in "xyz"},
    **{("", f"w{axis}"): f"angular velocity about its own {axis}, radians per second" for axis in "xyz"},
    **{("", f"bb_{axis}"): f"extent of its bounding box along its own {axis}, metres" for axis in "xyz"},
    ("mujoco_drawer", "pos"): "how far the drawer is pulled out, metres: 0 is closed",
    **_of_type("mujoco_tidybot_robot", _MOBILE_BASE | _MUJOCO_ARM | _MUJOCO_GRIPPER),
    ("mujoco_tidybot_robot", "vel_base_x"): "velocity of the base along x, metres per second",
    ("mujoco_tidybot_robot", "vel_base_y"): "velocity of the base along y, metres per second",
    ("mujoco_tidybot_robot", "vel_base_rot"): "angular velocity of the base about z, radians per second",
    **_of_type("mujoco_fr3_robot", _MOBILE_BASE | _MUJOCO_ARM | _MUJOCO_GRIPPER),
    ("mujoco_rby1a_robot", "pos_base_right"): "angle of the right wheel, radians",
    ("mujoco_rby1a_robot", "pos_base_left"): "angle of the left wheel, radians",
}

_FEATURES: dict[Family, Features] = {
    KINEMATIC2D: _KINEMATIC2D,
    DYNAMIC2D: _DYNAMIC2D,
    KINEMATIC3D: _KINEMATIC3D,
    KINEMATIC3D_V2: _KINEMATIC3D_V2,
    LIMB: _LIMB,
    MUJOCO: _MUJOCO,
}


def _arm(prefix: str, count: int, meaning: str) -> list[Component]:
    return [Component(f"{prefix}{number}", meaning.format(number)) for number in range(1, count + 1)]


_BASE_2D = [
    Component("dx", "Change in robot x position (positive is right)"),
    Component("dy", "Change in robot y position (positive is up)"),
    Component("dtheta", "Change in robot angle in radians (positive is ccw)"),
    Component("darm", "Change in robot arm length (positive is out)"),
]
_BASE_3D = [
    Component("base dx", "change of the base's x in the world, metres"),
    Component("base dy", "change of the base's y in the world, metres"),
    Component("base drot", "change of the base's rotation about z, radians"),
]
_ARM_CHANGE = "change of the angle of arm joint {}, radians"

_ACTIONS: dict[str, list[Component]] = {
    "CRVRobotActionSpace": [*_BASE_2D, Component("vac", "Directly sets the vacuum (0.0 is off, 1.0 is on)")],
    "KinRobotActionSpace": [*_BASE_2D, Component("dgripper", "Change in gripper gap (positive is open)")],
    "DotRobotActionSpace": _BASE_2D[:2],
    "Kinematic3DRobotActionSpace": [
        *_BASE_3D,
        *_arm("djoint ", 7, _ARM_CHANGE),
        Component("gripper", "below -0.5 closes the gripper, above 0.5 opens it, anything else leaves it"),
    ],
    "ArmJointDeltaActionSpace": _arm("djoint ", 7, _ARM_CHANGE),
    "BimanualArmJointDeltaGraspActionSpace": [
        *_arm("left djoint ", 7, "change of the angle of the left arm's joint {}, radians"),
        *_arm("right djoint ", 7, "change of the angle of the right arm's joint {}, radians"),
        Component("left grasp", "above 0 asks the left arm to hold the cube, otherwise to let go"),
        Component("right grasp", "above 0 asks the right arm to hold the cube, otherwise to let go"),
    ],
    "LimbRepositioning3DRobotActionSpace": _arm("torque ", 7, "torque on arm joint {}, newton metres"),
    "TidyBot3DRobotActionSpace": [
        *_BASE_3D,
        *_arm("djoint ", 7, _ARM_CHANGE),
        Component("gripper", "sets the gripper: 0 is open, 1 is closed"),
    ],
    "FR3RobotActionSpace": [
        *_arm("djoint ", 7, _ARM_CHANGE),
        Component("gripper", "sets the gripper: 0 is open, 1 is closed"),
    ],
    "RBY1ARobotActionSpace": [
        *_arm("wheel ", 2, "change of the angle of base joint {}, radians"),
        *_arm("torso ", 6, "change of the angle of torso joint {}, radians"),
        *_arm("right arm ", 7, "change of the angle of the right arm's joint {}, radians"),
        *_arm("left arm ", 7, "change of the angle of the left arm's joint {}, radians"),
        *_arm("head ", 2, "change of the angle of head joint {}, radians"),
    ],
}
"""The components of each kind of action space, in their order."""

_TARGETS = (
    "A change is added to what the joints and the base are at when the step begins; controllers drive them there "
    "during the step, a tenth of a second, as far as forces and contacts allow."
)
_RULES = {
    "Kinematic3DRobotActionSpace": (
        "A step that would make the arm or a held object touch something moves nothing. Closing grasps the object that "
        "touches the end effector, if it is exactly one. Opening lets go only where the object is supported."
    ),
    "ArmJointDeltaActionSpace": "A step that would make the robot collide with itself moves nothing.",
    "BimanualArmJointDeltaGraspActionSpace": "An arm that would collide stays where it was.",
    "LimbRepositioning3DRobotActionSpace": "A step lasts 1/240 second. The end effector stays welded to the limb.",
    "TidyBot3DRobotActionSpace": _TARGETS,
    "FR3RobotActionSpace": _TARGETS,
    "RBY1ARobotActionSpace": _TARGETS,
}
"""What the components do not tell, by the kind of action space."""
