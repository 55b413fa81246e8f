"""DynObstruction2D: bring the target block onto the target surface.

The gripper points down, with its fingers open. If the block fits between them and the surface is free, the robot lifts
it there. Else the gripper goes down beside the block and slides it along the table. Whatever stands between the two
slides along, and so does whatever stands in the way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from world import Array, World

_WIDTH, _TABLE = 1 + math.sqrt(5), 0.1
_HIGH = 1.3  # the base passes above all blocks, and turns there
_HALF = 0.19  # half of the width of the open gripper
_CLEAR = 0.02
_NEAR = 5e-3
_SLOW = 0.03
_OPEN = 0.32  # the widest gap between the middles of the fingers
_ROOM = 0.6  # to turn beside a wall
_WALL = 0.245  # how close the base may come to a wall


def play(world: World) -> Iterator[Array]:
    """Yield the changes of x, y, theta, arm and gripper for each step."""
    yield from world.go(y=_HIGH)
    yield from world.go(x=max(world.things["robot"]["x"], _ROOM))
    yield from world.go(theta=-math.pi / 2)
    while True:
        yield from world.go(y=_HIGH, gap=_OPEN)
        block, surface = world.things["target_block"], world.things["target_surface"]
        blocking = [name for name in world.things if name.startswith("obstruction") and _on_surface(world, name)]
        light = [(name, x) for name in blocking if _fits(world, name) and (x := _free(world, name)) is not None]
        if light:
            yield from _carry(world, *light[0])
        elif not blocking and _fits(world, "target_block"):
            yield from _carry(world, "target_block", surface["x"])
        else:
            yield from _push(world, 1 if surface["x"] > block["x"] else -1)
        yield from world.go(y=_HIGH, slack=0.05)


def _on_surface(world: World, name: str) -> bool:
    """Return whether a block is so close to the surface that the target block or a finger would touch it there."""
    surface, (left, right) = world.things["target_surface"], _edges(world, name, 1)
    half = surface["width"] / 2 + 0.08
    return left < surface["x"] + half and right > surface["x"] - half


def _free(world: World, name: str) -> float | None:
    """Return the nearest place on the table, away from the surface, with room for a block and for the gripper."""
    here, surface = world.things[name]["x"], world.things["target_surface"]
    taken = [_edges(world, other, 1) for other in world.things if other.startswith(("obstruction", "target_block"))]
    taken.append((surface["x"] - surface["width"] / 2 - 0.1, surface["x"] + surface["width"] / 2 + 0.1))
    room = [
        x
        for x in np.arange(_WALL, _WIDTH - _WALL, 0.02)
        if all(right < x - _HALF - _CLEAR or left > x + _HALF + _CLEAR for left, right in taken)
    ]
    return min((float(x) for x in room), key=lambda x: abs(x - here), default=None)


def _fits(world: World, name: str) -> bool:
    """Return whether a block stands upright and fits between the fingers, which have room beside it."""
    block, robot = world.things[name], world.things["robot"]
    return abs(math.sin(block["theta"])) < 0.05 and block["width"] < robot["gripper_base_height"] - 0.07


def _carry(world: World, name: str, x: float) -> Iterator[Array]:
    """Take a block from above, and put it down elsewhere."""
    robot, block = world.things["robot"], world.things[name]
    yield from world.go(x=block["x"])
    top = block["y"] + block["height"] / 2
    grip = max(top + 0.04, _TABLE + _CLEAR + robot["finger_width"]) + robot["arm_length"]
    yield from world.go(y=grip, arm=robot["arm_length"])
    for _ in range(12):
        if world.things[name]["held"]:
            break
        yield world.change(gap=0.0)
    yield from world.go(y=_HIGH)
    yield from world.go(x=x - world.things[name]["x"] + world.things["robot"]["x"])
    yield from world.go(y=grip + 0.005)
    yield from world.go(gap=_OPEN)


def _push(world: World, way: int) -> Iterator[Array]:
    """Go down behind the target block, or behind its neighbours, and push until it is on the surface."""
    robot = world.things["robot"]
    x = _slot(world, way)
    yield from world.go(x=x)
    low = _TABLE + _CLEAR + robot["finger_width"] + robot["arm_length"]
    yield from world.go(y=low, arm=robot["arm_length"])
    for _ in range(150):
        missing = way * (world.things["target_surface"]["x"] - world.things["target_block"]["x"])
        if missing < _NEAR:
            break
        before = world.things["robot"]["x"]
        yield world.change(x=before + way * min(_SLOW, missing + 0.002), y=low, arm=robot["arm_length"])
    yield from world.go(x=world.things["robot"]["x"] - 0.05 * way)


def _slot(world: World, way: int) -> float:
    """Return where the gripper can go down: behind the target block, seen in the direction of the push."""
    edge = _edges(world, "target_block", way)[0]
    behind = [_edges(world, name, way) for name in world.things if name.startswith("obstruction")]
    for back, front in sorted(behind, key=lambda edges: -edges[1]):
        if front <= edge + 0.05 and edge - front < 2 * _HALF + 2 * _CLEAR:
            edge = min(edge, back)
    return min(max(way * (edge - _HALF - _CLEAR), _WALL), _WIDTH - _WALL)


def _edges(world: World, name: str, way: int) -> tuple[float, float]:
    """Return the back and the front of a block, on an axis in the direction of the push."""
    thing = world.things[name]
    c, s = abs(math.cos(thing["theta"])), abs(math.sin(thing["theta"]))
    half = (thing["width"] * c + thing["height"] * s) / 2
    return way * thing["x"] - half, way * thing["x"] + half
