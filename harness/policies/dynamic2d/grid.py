"""Ways over a grid of places."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from world import Array

Node = tuple[int, int]
STRIDE = 0.05
_ROUND = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


class Grid:
    """The places that can be reached from one place. No place at the edge of the grid may be free."""

    def __init__(self, free: NDArray[np.bool_], start: Array) -> None:
        self._free = free
        first = self._nearest(start)
        self._before: dict[Node, Node | None] = {first: None}
        queue = deque([first])
        while queue:
            i, j = node = queue.popleft()
            for di, dj in _ROUND:
                there = (i + di, j + dj)
                if free[there] and there not in self._before:
                    self._before[there] = node
                    queue.append(there)

    def way(self, end: Array) -> list[Array] | None:
        """Return the places on the way to a place, and this place, or `None` if there is no way."""
        node: Node | None = self._nearest(end)
        if node not in self._before:
            return None
        way = [end]
        while node is not None:
            way.append(np.array(node) * STRIDE)
            node = self._before[node]
        return way[::-1]

    def _nearest(self, point: Array) -> Node:
        nodes = np.argwhere(self._free)
        i, j = nodes[np.linalg.norm(nodes * STRIDE - point, axis=1).argmin()]
        return int(i), int(j)


def places(width: float, height: float) -> Array:
    """Return the places of a grid, by their two numbers."""
    rows, columns = int(width / STRIDE) + 1, int(height / STRIDE) + 1
    return np.moveaxis(np.indices((rows, columns)), 0, -1).astype(np.float64) * STRIDE
