"""Transport3D: bring a box and the cubes around it from the floor onto the table.

The box goes first, so that its walls are not in the way of the hand when that takes the cubes.
"""

from __future__ import annotations

import itertools

import numpy as np
from crane import GAP, Crane
from world import Motion, Vector, World, up

LOW, HIGH, TOP = np.array((0.4, -0.4)), np.array((0.8, 0.4)), 0.4
"""The corners of the table, and the height of its top."""
AHEAD, ARM, WIDE = 0.62, 0.12, 0.09
"""How far in front of the base the hand hangs and the arm stands, and how far the arm must stay from the table."""
WALL = 0.01
"""How thick the walls of the box are."""


def play(world: World) -> Motion:
    """Carry what is not on the table yet. The robot always looks towards the table, so that the arm stays beside it."""
    for name in [*world.named("box"), *world.named("cube")]:
        place, size = world.place(name), world.size(name)
        if place[2] < TOP:
            top = place + up(size[2])
            towards = (LOW + HIGH) / 2 - place[:2]
            if name.startswith("box"):  # it has no lid: grip the wall on the robot's side
                top -= (np.sign(towards[0]) * (size[0] - WALL / 2), 0, 0)
                towards = (LOW + HIGH) / 2 - top[:2]
            crane = Crane(world, high=0.8, ahead=AHEAD, heading=float(np.arctan2(towards[1], towards[0])))
            yield from _walk(crane, top)
            spot = _spot(crane, name, top - place)
            yield from crane.carry(name, top, np.append(spot, TOP + size[2] + GAP) - place)


def _arm(place: Vector, crane: Crane, ahead: float = AHEAD) -> Vector:
    """Return where on the floor the arm stands when the hand is at a place."""
    return np.asarray(place[:2] - (ahead - ARM) * np.array((np.cos(crane.heading), np.sin(crane.heading))))


def _spot(crane: Crane, name: str, grip: Vector) -> Vector:
    """Return a free spot on the table, far from other things, at which the arm stays beside the table."""
    world, size = crane.world, crane.world.size(name)[:2]
    others = [other for other in world.named("box") + world.named("cube") if world.place(other)[2] > TOP]
    low, high = LOW + size, HIGH - size
    best, most = (LOW + HIGH) / 2, -np.inf
    for spot in itertools.product(np.linspace(low[0], high[0], 9), np.linspace(low[1], high[1], 17)):
        gaps = [np.max(np.abs(world.place(other)[:2] - spot) - size - world.size(other)[:2]) for other in others]
        arm = np.abs(_arm(np.array(spot) + grip[:2], crane) - (LOW + HIGH) / 2) - (HIGH - LOW) / 2
        score = min([0.15, *gaps]) + min(0.0, 10 * (np.max(arm) - WIDE)) + 0.01 * np.max(arm)
        if score > most:
            best, most = np.array(spot), score
    return np.asarray(best)


def _walk(crane: Crane, top: Vector) -> Motion:
    """Go around the corners of the table to where the thing can be taken, with the hand up."""
    world, high = crane.world, crane.high
    hand = Crane(world, high, ahead=AHEAD)
    start, end = world.read("robot", "pos_base_x", "pos_base_y"), _arm(top, crane, AHEAD + ARM)
    margin = WIDE + ARM + 0.02
    sides = ((False, False), (True, False), (True, True), (False, True))
    corners = [np.where(side, HIGH + margin, LOW - margin) for side in sides]
    ways: list[list[Vector]] = [[start, end]]
    ways += [[start, corner, end] for corner in corners]
    for first, corner in enumerate(corners):
        ways += [[start, corner, corners[(first + side) % 4], end] for side in (1, -1)]
    free = [way for way in ways if all(_clear(a, b, margin - 0.01) for a, b in itertools.pairwise(way))] or ways[:1]
    best = min(free, key=lambda way: sum(float(np.linalg.norm(b - a)) for a, b in itertools.pairwise(way)))
    for base in best[1:-1]:
        hand.heading = float(np.arctan2(*((LOW + HIGH) / 2 - base)[::-1]))
        forward = AHEAD * np.array((np.cos(hand.heading), np.sin(hand.heading)))
        yield from hand.move(np.append(base + forward, high))


def _clear(start: Vector, end: Vector, margin: float) -> bool:
    """Return whether the way from one point to another stays this far from the table."""
    points = start + np.linspace(0, 1, 50)[2:-2, None] * (end - start)
    return not ((points > LOW - margin) & (points < HIGH + margin)).all(axis=1).any()
