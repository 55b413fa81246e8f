"""Table3D: lift any cube off the table. The hand goes for the cube that has most room around it."""

from __future__ import annotations

import numpy as np
from crane import Crane
from world import Motion, World


def play(world: World) -> Motion:
    """Lift a cube, and put it back as nobody asks for it."""
    crane = Crane(world, high=0.7)
    names = world.named("cube")
    cubes = np.array([world.place(name) for name in names])
    apart = np.linalg.norm(cubes[:, None] - cubes, axis=2) + np.eye(len(cubes))
    best = int(apart.min(axis=1).argmax())
    yield from crane.carry(names[best], cubes[best] + (0, 0, world.size(names[best])[2]), np.zeros(3))
