"""What the agent can ask of its environment: to see a state, and to see its own program play.

The agent's program runs where `open_policy` puts it (a sandbox), never in this process.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.environments.base import PUBLIC_SEEDS, Environment, InvalidAction, Plain, Policy
from harness.environments.fidelity import fidelity_of, sentence
from harness.environments.hosts import EnvironmentFailed
from harness.environments.scrubbing import scrubbed
from harness.mcp.renders import Picture, Renders, RendersFull, clean_label
from harness.mcp.states import absurd, outside
from harness.telemetry import WorldUse

MAX_SEED = PUBLIC_SEEDS[-1]
"""The largest seed that the tools accept, also as a part of a state. Held-out seeds are larger."""
MAX_FRAMES = 8
ROLLOUT_S = 20.0
"""Seconds that a rendered episode may take. A tool must answer before its client gives up."""
_STATE_LENGTH = 4000
_PATH_LENGTH = 1000


class ToolFault(Exception):
    """A tool cannot do what it was asked to do. The message is for the agent."""


class ToolAnswer(NamedTuple):
    """What a tool answers: a text, and pictures."""

    text: str
    pictures: list[Picture]


class Rollout(NamedTuple):
    """How an episode went: what ended it, its steps, the summed reward, and (step, picture) of each chosen frame."""

    ending: str
    steps: int
    reward: float
    frames: list[tuple[int, NDArray[np.uint8]]]


class EnvironmentTools:
    """The tools of one session. Calls from several threads take turns.

    Until `close`, nobody else may use the environment.

    `open_policy` takes a folder relative to the agent's workspace, and gives the running policy. The folder is checked
    to name nothing outside the workspace; `open_policy` must deal with links itself. `policy_errors` are what it and
    the policy raise for the agent's own mistakes; their messages are for the agent. `workspace` is the path of the
    workspace as the agent sees it. `use` counts what the agent does. `opaque` says that the environment's source is
    hidden: errors then tell nothing of it.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        renders: Renders,
        open_policy: Callable[[str], AbstractContextManager[Policy]],
        policy_errors: tuple[type[Exception], ...],
        workspace: str,
        use: WorldUse | None = None,
        opaque: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environment = environment
        self._renders = renders
        self._open_policy = open_policy
        self._policy_errors = policy_errors
        self._workspace = PurePosixPath(workspace)
        self._use = use or WorldUse()
        self._opaque = opaque
        self._clock = clock
        self._turn = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Refuse further calls and wait for the current one, which ends at its next step. May be called again."""
        self._closed = True
        with self._turn:
            pass

    def render_state(self, seed: int, state: Plain, label: str) -> ToolAnswer:
        """Draw the first state of a seed, or `state` if it is given. Raise `ToolFault` if that is not possible."""
        with self._counted():
            return self._render_state(seed, state, label)

    def _render_state(self, seed: int, state: Plain, label: str) -> ToolAnswer:
        check_seed(seed)
        check_seeds_in(state)
        if why := absurd(state):
            raise ToolFault(f"bad state: {why}")
        name = _label(label)
        with self._environment_to_itself():
            self._environment.reset(seed)
            self._use.reset(seed)
            if state is not None:
                self._set_state(state)
            picture = self._save(self._draw(), name)
            now = json.dumps(self._environment.get_state(), default=_listed)
        shown = now if len(now) <= _STATE_LENGTH else f"too long to show ({len(now)} characters)"
        faithful = sentence(fidelity_of(self._environment))
        return ToolAnswer(f"picture: {picture.path}\nstate: {shown}\n{faithful}", [picture])

    def _set_state(self, state: Plain) -> None:
        self._use.count("states")
        try:
            self._environment.set_state(state)
        except ValueError as error:
            raise ToolFault(f"bad state: {self._told(str(error))}") from error
        if why := outside(self._environment.spaces().get("observation_space"), state):
            raise ToolFault(f"bad state: {why}")

    def render_policy(self, approach_dir: str, seed: int, max_steps: int, max_frames: int) -> ToolAnswer:
        """Play one episode with the program in `approach_dir`, and draw it.

        Raise `ToolFault` if that is not possible.
        """
        with self._counted():
            return self._render_policy(approach_dir, seed, max_steps, max_frames)

    def _render_policy(self, approach_dir: str, seed: int, max_steps: int, max_frames: int) -> ToolAnswer:
        check_seed(seed)
        if max_steps < 1 or max_frames < 1:
            raise ToolFault("max_steps and max_frames must be at least 1")
        folder = self._below_workspace(approach_dir)
        with self._environment_to_itself():
            self._use.trial()
            try:
                with self._open_policy(folder) as policy:
                    rollout = self._roll_out(policy, seed, min(max_steps, self._environment.max_steps), max_frames)
            except self._policy_errors as error:
                raise ToolFault(f"the program in {approach_dir} does not run: {error}") from error
            pictures = [self._save(picture, f"seed{seed}-step{step:04d}") for step, picture in rollout.frames]
        lines = [rollout.ending, f"steps: {rollout.steps}; total reward: {rollout.reward:g}"]
        lines += [f"step {step}: {shown.path}" for (step, _), shown in zip(rollout.frames, pictures, strict=True)]
        return ToolAnswer("\n".join(lines), pictures)

    def _roll_out(self, policy: Policy, seed: int, max_steps: int, max_frames: int) -> Rollout:
        deadline = self._clock() + ROLLOUT_S
        frames = _Frames(min(max_frames, MAX_FRAMES))
        observation, info = self._environment.reset(seed)
        self._use.reset(seed)
        frames.offer(0, self._draw)
        steps, reward, ending = 0, 0.0, f"not solved within {max_steps} steps"
        try:
            policy.reset(observation, info, ROLLOUT_S)
            while steps < max_steps:
                left = deadline - self._clock()
                if left <= 0 or self._closed:
                    ending = f"not solved: stopped after {ROLLOUT_S:g} s, the time limit of this tool"
                    break
                action = self._environment.action(policy.act(observation, left))
                step = self._environment.step(action)
                self._use.count("steps")
                observation, steps, reward = step.observation, steps + 1, reward + step.reward
                frames.offer(steps, self._draw)
                policy.update(step, max(0.0, deadline - self._clock()))
                if step.terminated or step.truncated:
                    ending = "solved" if step.terminated else "not solved: the episode is over"
                    break
        except InvalidAction as error:
            ending = f"not solved: invalid action at step {steps}: {self._told(str(error))}"
        except self._policy_errors as error:
            ending = f"not solved: the program failed at step {steps}: {error}"
        return Rollout(ending, steps, reward, frames.chosen(steps, self._draw))

    @contextmanager
    def _environment_to_itself(self) -> Iterator[None]:
        with self._turn:
            if self._closed:
                raise ToolFault("the session is over")
            try:
                yield
            except EnvironmentFailed as error:
                raise ToolFault(f"the environment failed: {self._brief(error)}") from error

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the time of a call, and its error if it has one."""
        with self._use.working():
            try:
                yield
            except ToolFault:
                self._use.count("errors")
                raise

    def _brief(self, error: EnvironmentFailed) -> str:
        return error.brief if self._opaque else str(error).splitlines()[0]

    def _told(self, text: str) -> str:
        return scrubbed(text) if self._opaque else text

    def _draw(self) -> NDArray[np.uint8]:
        self._use.count("renders")
        try:
            return self._environment.render()
        except EnvironmentFailed as error:
            raise ToolFault(f"this state cannot be drawn: {self._brief(error)}") from error
        except Exception as error:  # a state that the agent invented can break any assumption of the drawing code
            said = self._told(f"{type(error).__name__}: {error}")
            raise ToolFault(f"this state cannot be drawn: {said}") from error

    def _save(self, picture: NDArray[np.uint8], label: str) -> Picture:
        try:
            return self._renders.save(picture, label)
        except RendersFull as error:
            raise ToolFault(str(error)) from error

    def _below_workspace(self, approach_dir: str) -> str:
        """Return `approach_dir` relative to the workspace. Raise `ToolFault` if it names anything outside."""
        path = self._workspace / approach_dir
        if (
            not approach_dir
            or len(approach_dir) > _PATH_LENGTH
            or not approach_dir.isprintable()
            or ".." in path.parts
            or not path.is_relative_to(self._workspace)
        ):
            raise ToolFault(f"approach_dir must be a directory in {self._workspace}: {approach_dir!r:.80}")
        return str(path.relative_to(self._workspace))


class _Frames:
    """Pictures at even distances in an episode whose length is not known beforehand.

    Every `stride`-th step is drawn. When more than twice the wanted number of pictures is held, every other one is
    dropped and `stride` doubles.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._stride = 1
        self._held: list[tuple[int, NDArray[np.uint8]]] = []

    def offer(self, step: int, draw: Callable[[], NDArray[np.uint8]]) -> None:
        if step % self._stride == 0:
            self._held.append((step, draw()))
        if len(self._held) > 2 * self._most:
            self._held = self._held[::2]
            self._stride *= 2

    def chosen(self, last: int, draw: Callable[[], NDArray[np.uint8]]) -> list[tuple[int, NDArray[np.uint8]]]:
        """Return at most `most` of them. The picture of the last step is among them."""
        if self._held[-1][0] != last:
            self._held.append((last, draw()))
        gap = (len(self._held) - 1) / max(self._most - 1, 1)
        ends = {len(self._held) - 1 - round(index * gap) for index in range(self._most)}
        return [self._held[index] for index in sorted(ends)]


def check_seed(seed: Plain) -> None:
    """Raise `ToolFault` for anything but a seed that an agent may look at."""
    if type(seed) is not int or seed not in PUBLIC_SEEDS:
        raise ToolFault(f"seed must be a whole number from 0 to {MAX_SEED}; got {seed!r:.80}")


def check_seeds_in(state: Plain) -> None:
    """Raise `ToolFault` for a state with the seed of a graded episode, whatever the environment makes of it."""
    parts = [state]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if isinstance(seed := part.get("seed"), int | float | str):
                check_seed(seed)
            parts += part.values()
        elif isinstance(part, list):
            parts += part


def _label(label: str) -> str:
    try:
        return clean_label(label)
    except ValueError as error:
        raise ToolFault(str(error)) from error


def _listed(array: Any) -> Any:
    """Return a NumPy array as a list, for `json.dumps`."""
    if isinstance(array, np.ndarray):
        return array.tolist()
    raise TypeError(f"a state holds a {type(array).__name__}, which is not plain data")
