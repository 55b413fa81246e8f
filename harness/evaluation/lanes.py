"""Plays episodes side by side. Each lane is a policy in a box, and an environment in a process, that play together.

The two speak to each other without the harness, which only watches over them.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from msgspec import Struct

from harness.environments.base import Plain
from harness.environments.hosted import HostedEnvironment, HostedProcess
from harness.environments.hosts import EnvironmentFailed
from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.evaluation.policy import PolicyHost
from harness.evaluation.policy_link import PolicyError, PolicyTimeout
from harness.evaluation.printed import PolicyLog
from harness.evaluation.private_world import PrivateWorld
from harness.evaluation.submission import Submission
from harness.evaluation.text import printable
from harness.grading import EvaluationConf
from harness.sandbox.base import Sandbox

_TRIES = 2
"""How often an episode is played in which the environment fails."""
_LOOK_S = 0.1
_PLAY = "harness.evaluation.playing:play"


class Match(NamedTuple):
    """Who plays: an environment with these spaces, and a submission in boxes of a sandbox.

    `conf` limits the episodes. What a policy prints in an episode that does not end goes to `log`.
    """

    environment: HostedEnvironment
    spaces: dict[str, Plain]
    sandbox: Sandbox
    submission: Submission
    scratch: Path
    conf: EvaluationConf
    log: PolicyLog


class Scheduled(Struct, frozen=True):
    """An episode that is to be played: its index, its seed, and its number of objects if that differs.

    A traceback that shows its variables does not show the seed.
    """

    index: int
    seed: int
    count: int | None = None

    def __repr__(self) -> str:
        return f"<episode {self.index}>"

    def unplayed(self, outcome: EpisodeOutcome, reason: str | None) -> Episode:
        """Return the episode if it was not played for this reason."""
        return Episode(index=self.index, outcome=outcome, error=reason, count=self.count)


class Played(Struct, frozen=True):
    """An episode that was played, what the policy printed, the names in the info of its steps, and its recording.

    If it is `unloadable`, the policy could not be loaded, and the episode was not played.
    """

    episode: Episode
    printed: str = ""
    told: tuple[str, ...] = ()
    recording: bytes = b""
    unloadable: bool = False


class PlayedThere(Struct, frozen=True):
    """What `harness.evaluation.playing.play` returns."""

    episode: Episode
    survived: bool
    gone: bool
    told: list[str]
    recording: Any


class OutOfTime(Exception):
    """An episode has not ended at the time until which it was waited for."""


class _Stopped(Exception):
    """The episodes are no longer wanted."""


class _Stop:
    """Whether the lanes are to stop `now`, and whether that is `early`, so that what is being played is of interest."""

    now = False
    early = False


class Lanes:
    """The lanes of a match. It is a context manager; leaving it stops all lanes.

    The first lane starts at once. The others start when the first has played for as long as it took to start, because
    short episodes are over before another lane is ready. `match.conf.side_by_side` is how many lanes there may be. If
    the policy carries over what it learns, there is one.
    """

    def __init__(self, match: Match, episodes: Sequence[Scheduled]) -> None:
        self._match = match
        self._tasks: queue.SimpleQueue[Scheduled] = queue.SimpleQueue()
        for episode in episodes:
            self._tasks.put(episode)
        most = 1 if match.conf.carry_over else match.conf.side_by_side or cores_each()
        self._most = min(most, len(episodes))
        self._results: queue.SimpleQueue[Played | BaseException] = queue.SimpleQueue()
        self._done: dict[int, Played] = {}
        self._stop = _Stop()
        self._lanes: list[threading.Thread] = []
        self._began = time.monotonic()
        self._loaded_at: float | None = None

    def wait_for(self, index: int, until: float | None = None) -> Played:
        """Return what came of an episode. Raise what stopped a lane, such as `SandboxError`.

        Raise `OutOfTime` if the episode has not ended at the time `until` of the monotonic clock.
        """
        while index not in self._done:
            try:
                result = self._results.get(timeout=_shorter(self._patience(), until))
            except queue.Empty:
                if until is not None and time.monotonic() >= until:
                    raise OutOfTime from None
                self._open_others()
                continue
            if isinstance(result, BaseException):
                raise result.with_traceback(None)  # a traceback may show the seed
            self._done[result.episode.index] = result
        return self._done.pop(index)

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.early = kind is not None
        self._stop.now = True
        for lane in self._lanes:
            lane.join()

    def _patience(self) -> float | None:
        """Return the seconds until the other lanes may open, or `None` if they are open."""
        if len(self._lanes) >= self._most:
            return None
        if self._loaded_at is None:
            return _LOOK_S
        return max(0.0, 2 * self._loaded_at - self._began - time.monotonic())

    def _open_others(self) -> None:
        if self._loaded_at is not None and self._patience() == 0:
            while len(self._lanes) < self._most:
                self._open()

    def _open(self) -> None:
        lane = threading.Thread(target=self._play_all, args=(len(self._lanes),), daemon=True)
        self._lanes.append(lane)
        lane.start()

    def _play_all(self, number: int) -> None:
        """Play episodes until none is left. Boxes end with the thread that opened them, so this one closes them too."""
        try:
            with _Lane(self._match, self._match.scratch / f"lane-{number}", self._stop) as lane:
                loadable = True
                while loadable and not self._stop.now:
                    played = lane.play(self._tasks.get_nowait(), self._loaded)
                    self._results.put(played)
                    loadable = not played.unloadable
        except (queue.Empty, _Stopped):
            return
        except BaseException as error:
            self._results.put(error)

    def _loaded(self) -> None:
        if self._loaded_at is None:
            self._loaded_at = time.monotonic()


class _Lane:
    """One policy, and the environment that plays with it. Every method runs on the lane's own thread."""

    def __init__(self, match: Match, scratch: Path, stop: _Stop) -> None:
        self._match = match
        self._stop = stop
        self._world = PrivateWorld(match.environment)
        self._policy = PolicyHost(
            match.sandbox,
            match.submission.path,
            scratch,
            match.spaces,
            self._look,
            entry=match.submission.entry,
            carry_over=match.conf.carry_over,
            world=self._world,
        )
        self._process: HostedProcess | None = None
        self._scratch = scratch

    def play(self, scheduled: Scheduled, loaded: Callable[[], None]) -> Played:
        """Play an episode. Call `loaded` when the policy is loaded."""
        tries = 1 if self._match.conf.carry_over else _TRIES  # the next policy would not know the earlier episodes
        try:
            for _try in range(tries - 1):
                with suppress(EnvironmentFailed):
                    return self._play(scheduled, loaded)
                self._close_both()
                self._policy.printed()  # the episode begins again
            return self._play(scheduled, loaded)
        except _Stopped:
            if self._stop.early:
                self._note(scheduled.index)
            raise
        except BaseException:
            self._note(scheduled.index)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.close()
        self._close_both()
        if self._scratch.exists():
            self._scratch.rmdir()

    def _play(self, scheduled: Scheduled, loaded: Callable[[], None]) -> Played:
        wall_s = self._match.conf.episode_wall_s
        try:
            fresh = self._policy.load(wall_s)
        except PolicyError as error:
            outcome = EpisodeOutcome.TIMED_OUT if isinstance(error, PolicyTimeout) else EpisodeOutcome.CRASHED
            module = self._match.submission.entry.module
            episode = scheduled.unplayed(outcome, f"{module}.py cannot be loaded: {error}")
            return Played(episode, self._policy.printed(), unloadable=True)
        loaded()
        if fresh and scheduled.index > 0:
            self._policy.printed()  # what it prints when it is loaded belongs to the first episode
        if fresh or self._process is None or self._world.died():
            self._close_process()
            descriptors = (*self._policy.descriptors(), *self._world.descriptors())
            self._process = self._match.environment.another(descriptors)
        self._process.prepare(scheduled.count)
        answer = self._process.ask(
            "run",
            _PLAY,
            {**msgspec.structs.asdict(scheduled), "wall_s": wall_s, "step_wall_s": self._match.conf.step_wall_s},
            limit=wall_s + self._match.environment.call_s,
            doing=f"episode {scheduled.index}",
            look=self._policy.reap,
            asides=(self._policy.output,) if self._policy.output else (),
        )
        return self._played(answer)

    def _played(self, answer: Any) -> Played:
        """Return what the environment's process said of the episode. Close the policy if it cannot play another."""
        try:
            result = msgspec.convert(answer, PlayedThere)
        except msgspec.ValidationError as error:
            raise EnvironmentFailed(f"the process of the environment sent no episode: {error}") from error
        episode = result.episode
        if result.gone:
            episode = dataclasses.replace(episode, error=self._policy.ending())
        if not result.survived:
            self._close_both()
        if episode.error is not None:
            episode = dataclasses.replace(episode, error=printable(episode.error))
        recording = result.recording.tobytes() if isinstance(result.recording, np.ndarray) else b""
        return Played(episode, self._policy.printed(), tuple(result.told), recording)

    def _note(self, index: int) -> None:
        self._close_both()
        self._match.log.add(f"episode {index}: it did not end", self._policy.printed())

    def _close_process(self) -> None:
        process, self._process = self._process, None
        self._world.close()
        if process is not None:
            process.kill()

    def _close_both(self) -> None:
        self._close_process()
        self._policy.close()

    def _look(self) -> None:
        if self._stop.now:
            raise _Stopped


def _shorter(seconds: float | None, until: float | None) -> float | None:
    """Return these seconds, or those until a time if they are fewer. `None` means without end."""
    if until is None:
        return seconds
    left = max(0.0, until - time.monotonic())
    return left if seconds is None else min(seconds, left)


def cores_each() -> int:
    """Return the cores that this process may use, divided by the pytest processes that share them."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return max(1, len(os.sched_getaffinity(0)) // workers)
