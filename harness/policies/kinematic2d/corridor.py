"""The way of least obstruction: where a disc would go if it could shove a few things aside."""

from __future__ import annotations

import heapq

import numpy as np
from scene import Array, Scene, distances, rectangles

_STRIDE = 0.05
_SHOVE = 5.0  # what a step through a thing costs more than one through free room
_NEAR = 3  # what only touches the first places of a way is beside it: the robot put it down there
_ROUND = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


class Corridor:
    """The way of a disc between two places: its middles, and the things that it touches, in the order of the way."""

    def __init__(self, scene: Scene, radius: float, start: Array, end: Array, names: list[str]) -> None:
        rows, columns = (round(side / _STRIDE) + 1 for side in scene.size)
        places = np.argwhere(np.ones((rows, columns), bool)).astype(np.float64) * _STRIDE
        solid = np.array([rectangles(scene.things[name])[0] for name in names]).reshape(-1, 4, 2)
        touched = distances(places, solid) < radius
        free = ((places >= radius) & (places <= np.array(scene.size) - radius)).all(1)
        costs = np.where(free, 1 + _SHOVE * touched.sum(1), np.inf).reshape(rows, columns)
        first, last = (int(np.where(free, np.linalg.norm(places - to, axis=1), np.inf).argmin()) for to in (start, end))
        nodes = _cheapest(costs, divmod(first, columns), divmod(last, columns))
        self.middles = np.array(nodes) * _STRIDE
        on_way = touched.reshape(rows, columns, -1)[tuple(np.array(nodes[_NEAR:] or nodes[-1:]).T)]
        order = np.where(on_way.any(0), on_way.argmax(0), len(nodes))
        self.names = [names[index] for index in np.argsort(order, kind="stable") if order[index] < len(nodes)]
        self.squares = self.middles[:, None] + radius * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])


def _cheapest(costs: Array, start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the nodes of the cheapest way. A step costs what the node costs that it leads to."""
    before: dict[tuple[int, int], tuple[int, int]] = {}
    queue = [(0.0, start, start)]
    while queue:
        spent, node, last = heapq.heappop(queue)
        if node in before:
            continue
        before[node] = last
        if node == end:
            break
        for di, dj in _ROUND:
            there = (node[0] + di, node[1] + dj)
            if there not in before and np.isfinite(costs[there]):
                heapq.heappush(queue, (spent + float(costs[there]) * (1.4 if di and dj else 1), there, node))
    way = [end]
    while way[-1] != start:
        way.append(before[way[-1]])
    return way[::-1]
