"""Meta-World's tasks (the package `metaworld`): a robot arm with a gripper at a table, moved by its hand's position."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from harness.environments.base import Plain, Step
from harness.environments.gymnasium_adapter import GymnasiumEnvironment


class MetaWorldEnvironment(GymnasiumEnvironment):
    """The Meta-World task of this name, such as `reach-v3`. The goal is visible, and drawn anew for each seed.

    An episode is solved at the first step whose info tells success. The state is the seed and the actions so far. Raise
    `ValueError` for an unknown task.
    """

    def __init__(self, task: str, max_steps: int = 500) -> None:
        if task not in ALL_V3_ENVIRONMENTS:
            raise ValueError(f"there is no task {task!r}; the tasks are: {', '.join(sorted(ALL_V3_ENVIRONMENTS))}")
        self._task = task
        super().__init__(max_steps=max_steps, _target_=f"{__name__}:Seeded", kwargs={"task": task})

    def step(self, action: Any) -> Step:
        """Apply an action. `terminated` is true when the task is done."""
        step = super().step(action)
        solved = bool(step.info.get("success"))
        return step._replace(terminated=solved, truncated=step.truncated and not solved)

    def describe(self) -> str:
        """Return the task, and the meaning of every component of the observation and the action."""
        what = self._task.rpartition("-")[0].replace("-", " ")
        return _DESCRIPTION.format(task=self._task, what=what, max_steps=self.max_steps)


class Seeded(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A task of Meta-World whose goal and objects depend on the seed of `reset` alone.

    Meta-World's own `make` draws them from a generator that a seed of `reset` does not touch (version 3.1.1).
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}  # type: ignore[misc] # Gymnasium says attribute

    def __init__(self, task: str) -> None:
        inner = ALL_V3_ENVIRONMENTS[task](render_mode="rgb_array")
        inner._set_task_called = True
        inner._freeze_rand_vec = False
        inner._partially_observable = False
        inner.seeded_rand_vec = True
        super().__init__(inner)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Plain, dict[str, Any]]:
        """Begin the episode of this seed."""
        inner: Any = self.env
        inner.seed(seed)
        observation, info = inner.reset(options=options)
        return observation, info


_DESCRIPTION = """\
## Task
The task `{task}` of Meta-World: a Sawyer arm with a gripper at a table is to do what the name says, "{what}".
Where a task has a goal position, it is a part of the observation.

An episode is solved at the first step after which the task is done (`info["success"]`); it ends unsolved after
{max_steps} steps.

## Observation
A NumPy vector of 39 numbers (float64), lengths in metres. What a task does not have is 0.

| index | meaning |
| --- | --- |
| 0, 1, 2 | x, y, z of the hand |
| 3 | opening of the gripper, from 0 (closed) to 1 (open) |
| 4, 5, 6 | x, y, z of the first object |
| 7 to 10 | its orientation, a quaternion: (x, y, z, w) or (w, x, y, z), as the task has it |
| 11, 12, 13 | x, y, z of the second object |
| 14 to 17 | its orientation, a quaternion of the same form |
| 18 to 35 | components 0 to 17 of the step before |
| 36, 37, 38 | x, y, z of the goal |

A state, where a tool asks for one, is `{{"seed": int, "actions": [...]}}`: what these actions lead to after a reset.

## Action
A NumPy vector or list of 4 numbers from -1 to 1; it is cast to float32.

| index | meaning |
| --- | --- |
| 0, 1, 2 | how far the hand is to move along x, y, z, in hundredths of a metre |
| 3 | torque that closes the gripper; a negative one opens it |

## Reward
A shaped reward from 0 to 10 a step, about 10 when the task is done.
"""
