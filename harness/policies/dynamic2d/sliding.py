"""DynObstruction2D: bring the target block onto the target surface.

The gripper points down, with its fingers open. Blocks that fit between them are carried: obstructions away from the
surface, and the target block onto it. A target block that does not fit is pushed along the table, with whatever stands
in the way. A target block that fits is not pushed, because it would fall: the obstructions are pushed off the surface.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from world import Array, World

_WIDTH, _TABLE = 1 + math.sqrt(5), 0.1
_HIGH = 1.3  # the base passes above all blocks, and turns there
_HALF = 0.19  # half of the width of the open gripper
_CLEAR = 0.02
_NEAR = 5e-3
_SLOW = 0.03
_PART = 0.4  # a push goes so far at most, where there may be things to carry away
_OPEN = 0.32  # the widest gap between the middles of the fingers
_ROOM = 0.6  # to turn beside a wall
_WALL = 0.245  # how close the base may come to a wall


def play(world: World) -> Iterator[Array]:
    """Yield the changes of x, y, theta, arm and gripper for each step."""
    yield from world.go(y=_HIGH, arm=world.things["robot"]["base_radius"])
    yield from world.go(x=max(world.things["robot"]["x"], _ROOM))
    yield from world.go(theta=-math.pi / 2)
    while True:
        yield from world.go(y=_HIGH, gap=_OPEN)
        blocking = [name for name in world.things if name.startswith("obstruction") and _on_surface(world, name)]
        away = [*blocking, *_between(world)]
        light = [(name, x) for name in away if _fits(world, name) and (x := _free(world, name)) is not None]
        if light:
            yield from _carry(world, *light[0])
        elif _fits(world, "target_block") and not blocking:
            yield from _carry(world, "target_block", world.things["target_surface"]["x"])
        elif _fits(world, "target_block") and (way := _away(world, blocking[0])):
            yield from _shove(world, blocking[0], way)
        else:
            yield from _push(world)
        yield from world.go(y=_HIGH, slack=0.05)


def _on_surface(world: World, name: str) -> bool:
    """Return whether a block is so close to the surface that the target block or a finger would touch it there."""
    surface, (left, right) = world.things["target_surface"], _edges(world, name, 1)
    half = surface["width"] / 2 + 0.08
    return left < surface["x"] + half and right > surface["x"] - half


def _between(world: World) -> list[str]:
    """Return the obstructions before the target block on its way, if there is no room for all beyond the surface."""
    block, surface = world.things["target_block"]["x"], world.things["target_surface"]
    way = 1 if surface["x"] > block else -1
    before = [
        name for name in world.things if name.startswith("obstruction") and way * world.things[name]["x"] > way * block
    ]
    return before if sum(2 * _half(world, name) for name in before) > _beyond(world, way) else []


def _beyond(world: World, way: int) -> float:
    """Return how much room there is between the surface and the wall."""
    surface = world.things["target_surface"]
    return way * ((_WIDTH if way > 0 else 0.0) - surface["x"]) - surface["width"] / 2


def _free(world: World, name: str) -> float | None:
    """Return a place for an obstruction: behind the target block, with room to push this.

    What is on the surface may also go to another place.
    """
    surface, block, here = (world.things[thing]["x"] for thing in ("target_surface", "target_block", name))
    way = 1 if surface > block else -1
    back = _edges(world, "target_block", way)[0]
    room = _room(world)
    behind = [x for x in room if back - way * x > 3 * _HALF + 2 * _CLEAR]
    return min(behind or (room if _on_surface(world, name) else []), key=lambda x: abs(x - here), default=None)


def _room(world: World) -> list[float]:
    """Return places on the table, away from the surface, with room for a block and for the gripper."""
    surface = world.things["target_surface"]
    taken = [_edges(world, other, 1) for other in world.things if other.startswith(("obstruction", "target_block"))]
    taken.append((surface["x"] - surface["width"] / 2 - 0.1, surface["x"] + surface["width"] / 2 + 0.1))
    return [
        float(x)
        for x in np.arange(_WALL, _WIDTH - _WALL, 0.02)
        if all(right < x - _HALF - _CLEAR or left > x + _HALF + _CLEAR for left, right in taken)
    ]


def _away(world: World, name: str) -> int:
    """Return the direction, 1 or -1, in which there is room to push an obstruction off the surface, or 0."""
    here = world.things[name]["x"]
    others = [other for other in world.things if other.startswith("obstruction")]
    ways = (1, -1) if world.things["target_block"]["x"] < here else (-1, 1)
    for way in ways:
        widths = [2 * _half(world, other) for other in others if way * (world.things[other]["x"] - here) >= 0]
        if sum(widths) < _beyond(world, way) - 0.1:
            return way
    return 0


def _shove(world: World, name: str, way: int) -> Iterator[Array]:
    """Push an obstruction off the surface. First carry the target block out of the way."""
    slot, back = _slot(world, name, way), _edges(world, name, way)[0]
    left, right = _edges(world, "target_block", 1)
    if left - _HALF < slot < right + _HALF:
        room = sorted(_room(world), key=lambda x: way * x)
        behind = [x for x in room if back - way * x > 3 * _HALF + 2 * _CLEAR]
        if places := behind[::-1] or room:
            yield from _carry(world, "target_block", places[0])
            return
    surface = world.things["target_surface"]
    goal = way * surface["x"] + surface["width"] / 2 + 0.1
    yield from _slide(world, way, slot, _TABLE, lambda: goal - _edges(world, name, way)[0])


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
    yield from world.go(y=_HIGH, arm=robot["base_radius"])
    yield from world.go(x=x - world.things[name]["x"] + world.things["robot"]["x"])
    yield from world.go(y=grip + 0.005, arm=robot["arm_length"])
    yield from world.go(gap=_OPEN)


def _push(world: World) -> Iterator[Array]:
    """Push the target block onto the surface. Where it is on other blocks, push it down from these."""
    block, surface = world.things["target_block"], world.things["target_surface"]
    bottom = block["y"] - _half(world, "target_block", up=True)
    if bottom > _TABLE + 0.06:
        way = 1 if block["x"] < _WIDTH / 2 else -1
        slot = _beside(_edges(world, "target_block", way)[0], way)
        yield from _slide(world, way, slot, bottom, lambda: world.things["target_block"]["y"] - bottom)
    else:
        way = 1 if surface["x"] > block["x"] else -1
        slot = _slot(world, "target_block", way)
        far = way * surface["x"]
        goal = min(far, way * block["x"] + _PART) if _between(world) else far
        yield from _slide(world, way, slot, _TABLE, lambda: goal - way * world.things["target_block"]["x"])


def _slide(world: World, way: int, x: float, bottom: float, missing: Callable[[], float]) -> Iterator[Array]:
    """Go down at a place, and push what is there until nothing is missing."""
    arm = world.things["robot"]["arm_length"]
    low = bottom + _CLEAR + world.things["robot"]["finger_width"] + arm
    yield from world.go(x=x)
    yield from world.go(y=low, arm=arm)
    for _ in range(150):
        if missing() < _NEAR:
            break
        yield world.change(x=world.things["robot"]["x"] + way * min(_SLOW, missing() + 0.002), y=low, arm=arm)
    yield from world.go(x=world.things["robot"]["x"] - 0.05 * way)


def _slot(world: World, name: str, way: int) -> float:
    """Return where the gripper can go down: behind a block and its neighbours, seen in the direction of the push."""
    edge = _edges(world, name, way)[0]
    behind = [_edges(world, other, way) for other in world.things if other.startswith("obstruction") and other != name]
    for back, front in sorted(behind, key=lambda edges: -edges[1]):
        if front <= edge + 0.05 and edge - front < 2 * _HALF + 2 * _CLEAR:
            edge = min(edge, back)
    return _beside(edge, way)


def _beside(edge: float, way: int) -> float:
    return min(max(way * (edge - _HALF - _CLEAR), _WALL), _WIDTH - _WALL)


def _edges(world: World, name: str, way: int) -> tuple[float, float]:
    """Return the back and the front of a block, on an axis in the direction of the push."""
    middle, half = way * world.things[name]["x"], _half(world, name)
    return middle - half, middle + half


def _half(world: World, name: str, *, up: bool = False) -> float:
    """Return half of how wide, or how high, a block is as it stands or lies."""
    thing = world.things[name]
    c, s = abs(math.cos(thing["theta"])), abs(math.sin(thing["theta"]))
    return (thing["width"] * (s if up else c) + thing["height"] * (c if up else s)) / 2
