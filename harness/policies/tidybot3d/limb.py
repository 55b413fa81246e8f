"""LimbRepositioning3D: move a limb, which the robot's hand holds, to a pose.

Hand and limb move as one. So a pose of the limb tells where the hand must be, and that tells the robot's joints. Each
joint is drawn along its way as by a spring with a damper.
"""

from __future__ import annotations

import numpy as np
from arm import hand, reach
from scipy.spatial.transform import Rotation
from world import Motion, Vector, World

AXES = np.array([(-1, 0, 0), (0, -1, 0), (0, 0, 1), (-1, 0, 0), (0, -1, 0), (1, 0, 0)], dtype=float)
SHOULDER, ELBOW, WRIST = 0.0, -0.24102, -0.53739
HEIGHTS = (SHOULDER, SHOULDER, SHOULDER, ELBOW, WRIST, WRIST)
"""The joints of a left arm that hangs straight down: their axes, and their height over the shoulder in metres."""
HELD = np.array([[0, 1, 0, 0], [-1, 0, 0, -0.07], [0, 0, 1, -0.60739], [0, 0, 0, 1]], dtype=float)
"""Where the robot holds this arm."""
HOLD = np.array([[0, 0, -1, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=float)
"""The robot's hand, seen from there."""

STOPS, SLOW, WAIT = 10, 150, 100
"""The way is reckoned at so many stops, takes so many steps, and so many more for the limb to come to rest."""
STIFF, DAMPED = 30.0, 8.0
LIGHT = np.array((1, 1, 1, 1, 1, 1, 0.03))
"""The last joint turns almost nothing, so its spring and damper are weak."""


def play(world: World) -> Motion:
    """Move the limb to its goal, slowly. Where it is not there then, see how the hand holds it now, and try again."""
    shoulder = _hand(world) @ np.linalg.inv(_limb(_joints(world, "limb", "joint", 6)) @ HOLD)
    while True:
        for target in _way(world, shoulder):
            left = target - _joints(world, "robot", "joint", 7)
            speed = _joints(world, "robot", "joint_vel", 7)
            yield np.clip(LIGHT * (STIFF * left - DAMPED * speed), -world.most, world.most)


def _way(world: World, shoulder: Vector) -> Vector:
    """Return the robot's joints for each step of the limb's way from where it is to its goal."""
    start, goal = _joints(world, "limb", "joint", 6), _joints(world, "limb", "goal_joint", 6)
    hold = np.linalg.inv(shoulder @ _limb(start)) @ _hand(world)
    stops = [_joints(world, "robot", "joint", 7)]
    for share in np.linspace(0, 1, STOPS)[1:]:
        pose = shoulder @ _limb(start + share * (goal - start)) @ hold
        stops.append(reach(pose[:3, 3], pose[:3, :3], stops[-1]))
    when = np.clip(np.arange(SLOW + WAIT) / SLOW, 0, 1)
    return np.transpose([np.interp(when, np.linspace(0, 1, STOPS), joint) for joint in np.transpose(stops)])


def _hand(world: World) -> Vector:
    rotation, place, _ = hand(_joints(world, "robot", "joint", 7))
    return _pose(rotation, place)


def _joints(world: World, thing: str, name: str, count: int) -> Vector:
    return world.read(thing, *(f"{name}_{number}" for number in range(1, count + 1)))


def _limb(joints: Vector) -> Vector:
    """Return where the robot holds the limb, seen from the shoulder."""
    matrix = np.eye(4)
    for angle, axis, height in zip(joints, AXES, HEIGHTS, strict=True):
        turn, point = Rotation.from_rotvec(angle * axis).as_matrix(), np.array((0, 0, height))
        matrix = matrix @ _pose(turn, point - turn @ point)
    return np.asarray(matrix @ HELD)


def _pose(rotation: Vector, place: Vector) -> Vector:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, place
    return matrix
