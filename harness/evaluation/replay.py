"""A recorded episode, played again and compared with its recording."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from harness.environments.base import Plain
from harness.environments.hosted import HostedEnvironment
from harness.environments.hosts import EnvironmentFailed
from harness.evaluation.recording import Recording

_BEGIN = "harness.evaluation.replaying:begin"
_ADVANCE = "harness.evaluation.replaying:advance"


class Divergence(Struct, frozen=True):
    """Where a replay first differs from its recording. Step 0 is the first observation. `what` says what differs."""

    step: int
    what: str

    @property
    def told(self) -> str:
        """The divergence in words."""
        return f"step {self.step}: {self.what}"


class Moment(Struct, frozen=True):
    """What a replay shows after a step. Step 0 has no action and no reward."""

    step: int
    action: Plain
    reward: float | None
    observation: Plain


class Replay:
    """One episode that is played again, in a process of its own. It is a context manager.

    `solved` is whether the recorded episode ended with a solution. `count` is its number of objects, if that differs
    between episodes. `limit_s` is how long the environment may take for one call. `step` counts the actions that were
    applied. `divergence` is where the replay first differs, or `None`. After a divergence, the other actions are still
    applied, as far as the environment takes them.

    Every method raises `EnvironmentFailed` if the environment raises an error, or does not answer in time.
    """

    def __init__(
        self,
        environment: HostedEnvironment,
        recording: Recording,
        *,
        seed: int,
        solved: bool,
        limit_s: float,
        count: int | None = None,
    ) -> None:
        self._recording = recording
        self._solved = solved
        self.limit_s = limit_s
        self._seed, self._count = seed, count
        self._process = environment.another()
        self._start()

    def begin(self) -> Moment:
        """Begin the episode, for the first time or again."""
        self._start()
        self._process.prepare(self._count)
        told = self._run(_BEGIN, seed=self._seed, count=self._count)
        self._seen.append(int(told["seen"]))
        if told["seen"] != int(self._recording.seen[0]):
            self._diverge(0, "the first observation is another one")
        return Moment(0, None, None, told["observation"])

    def advance(self, count: int | None = None) -> bool:
        """Apply the next `count` actions, or all that are left. Return whether there may be more."""
        if not self.over:
            self._advance(len(self._recording.actions) if count is None else count, show=False)
        return not self.over

    def next(self) -> Moment | None:
        """Apply the next action and return what it led to, or `None` if there are no more."""
        if self.over:
            return None
        before = self.step
        told = self._advance(1, show=True)
        if self.step == before:  # it was refused
            return None
        return Moment(self.step, self._recording.actions[before], float(told["rewards"][0]), told["observation"])

    def picture(self) -> NDArray[np.uint8]:
        """Return a picture of the current state."""
        picture = self._process.ask("render", limit=self.limit_s, doing=f"the picture after step {self.step}")
        if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3:
            raise EnvironmentFailed("render() returned no picture of uint8 and shape (height, width, 3)")
        return picture

    def played(self) -> Recording:
        """Return what this replay itself has brought so far, as a recording."""
        return Recording(
            actions=self._recording.actions[: self.step],
            rewards=np.array(self._rewards, np.float64),
            seen=np.array(self._seen, np.uint32),
            left_out=1,  # how the episode ends is not compared
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.close()

    def _start(self) -> None:
        self.step = 0
        self.over = not self._recording.actions
        self.divergence: Divergence | None = None
        self._rewards: list[float] = []
        self._seen: list[int] = []

    def _advance(self, count: int, *, show: bool) -> dict[str, Any]:
        here, recorded = self.step, self._recording
        actions = recorded.actions[here : here + count]
        told = self._run(_ADVANCE, actions=actions, show=show)
        done = len(told["rewards"])
        self.step += done
        for offset, (reward, seen) in enumerate(zip(told["rewards"].tolist(), told["seen"].tolist(), strict=True)):
            self._compare(here + offset, reward, seen)
            self._rewards.append(reward)
            self._seen.append(seen)
        whole = not recorded.left_out and self.step == len(recorded.actions)
        if told["refused"] is not None:
            self._diverge(self.step + 1, f"the environment refuses the action: {told['refused']}")
        elif told["over"] and self.step < len(recorded.actions):
            self._diverge(self.step, f"the episode ends here, and was recorded for {len(recorded.actions)} steps")
        elif whole and done and told["solved"] != self._solved:
            ends = "solves the episode, and did not" if told["solved"] else "does not solve the episode, and did"
            self._diverge(self.step, f"the last step {ends} when it was graded")
        self.over = bool(told["over"]) or told["refused"] is not None or self.step >= len(recorded.actions)
        return told

    def _compare(self, index: int, reward: float, seen: int) -> None:
        """Compare the outcome of an action, which has this index, with the recorded one."""
        recorded = self._recording
        then = float(recorded.rewards[index])
        if np.float64(then).tobytes() != np.float64(reward).tobytes():
            self._diverge(index + 1, f"the reward is {reward!r}, and was {then!r}")
        elif seen != int(recorded.seen[index + 1]):
            self._diverge(index + 1, "the observation is another one")

    def _diverge(self, step: int, what: str) -> None:
        if self.divergence is None:
            self.divergence = Divergence(step, what)

    def _run(self, function: str, **keywords: Plain) -> dict[str, Any]:
        told: dict[str, Any] = self._process.ask(
            "run", function, keywords, limit=self.limit_s, doing=f"the replay after step {self.step}"
        )
        return told
