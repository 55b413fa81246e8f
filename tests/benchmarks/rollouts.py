"""Compares the steps a second of sealed episodes with those of the same episodes played in this process.

An episode is one of a maze, or of KinDER's Motion2D if that is installed, with the horizon of `motion2d_medium`. It is
played in this process on one core, then with a policy in a box and the environment in its process on the same core, and
then twice side by side on two cores. All three are recorded, because every held-out episode is.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import Any

from harness.case import SandboxConf
from harness.environment_conf import EnvironmentConf
from harness.environments.base import Plain, Step
from harness.environments.factory import adapter_path, described, make_environment
from harness.environments.hosted import HostedProcess
from harness.environments.making import make
from harness.evaluation.playing import run_episode
from harness.evaluation.policy import PolicyHost
from harness.evaluation.recording import EpisodeRecorder
from harness.sandbox.base import Sandbox
from harness.sandbox.factory import make_sandbox

_ROUNDS = 15
_MAZE_STEPS = 100
_MOTION_STEPS = 500
_SEED = 1
"""A seed with which the maze is not solved by its one action."""
_LIMIT_S = 120.0
_APPROACH = """\
import numpy as np

class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None):
        self.action = {action}

    def reset(self, state, info):
        pass

    def get_action(self, state):
        return self.action
"""


class _PolicyHere:
    """A policy of this process, for `run_episode`."""

    def __init__(self, program: Any) -> None:
        self._program = program

    def reset(self, observation: Plain, info: dict[str, Plain], _timeout_s: float) -> None:
        self._program.reset(observation, info)

    def act(self, observation: Plain, _timeout_s: float) -> Plain:
        action: Plain = self._program.get_action(observation)
        return action

    def update(self, step: Step, _timeout_s: float) -> None:
        """A program without `update` is not told."""


def _here(conf: EnvironmentConf, approach: str) -> Callable[[], float]:
    """Return what plays an episode in this process, and returns the seconds of a step."""
    names: dict[str, Any] = {}
    exec(approach, names)  # noqa: S102 - our own text, the policy of this benchmark
    policy = _PolicyHere(names["GeneratedApproach"](None, None))
    environment = make(described(conf), adapter_path(conf))

    def play() -> float:
        recorder = EpisodeRecorder(environment)
        episode = run_episode(recorder, policy, index=0, seed=_SEED, max_steps=conf.max_steps, wall_s=_LIMIT_S)
        assert episode.steps == conf.max_steps, episode
        return episode.seconds / episode.steps

    return play


def _sealed(process: HostedProcess, steps: int) -> float:
    """Play an episode in the process of the environment. Return the seconds of a step."""
    keywords = {"index": 0, "seed": _SEED, "wall_s": _LIMIT_S}
    played = process.ask("run", "harness.evaluation.playing:play", keywords, limit=_LIMIT_S)["episode"]
    assert played["steps"] == steps, played
    return float(played["seconds"]) / steps


def _side_by_side(lanes: Sequence[HostedProcess], pool: ThreadPoolExecutor, steps: int) -> float:
    """Play an episode in each lane. Return the seconds for each step of any of them."""
    began = time.perf_counter()
    list(pool.map(lambda lane: _sealed(lane, steps), lanes))
    return (time.perf_counter() - began) / (steps * len(lanes))


def _use(cores: Sequence[int]) -> None:
    """Let this process, and all that descend from it, use these cores only."""
    for pid in _descendants(os.getpid()):
        with suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(pid, cores)


def _descendants(pid: int) -> Iterator[int]:
    """Yield this process and all that descend from it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _descendants(int(child))


def _open_lanes(stack: ExitStack, sandbox: Sandbox, conf: EnvironmentConf, approach: str) -> list[HostedProcess]:
    """Open two lanes: processes of the environment, each with a policy in a box."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    submission = folder / "submission"
    submission.mkdir()
    (submission / "approach.py").write_text(approach)
    hosted = stack.enter_context(closing(make_environment(conf)))
    lanes = []
    for number in range(2):
        policy = stack.enter_context(PolicyHost(sandbox, submission, folder / f"lane-{number}", hosted.spaces()))
        policy.load()
        lanes.append(stack.enter_context(closing(hosted.another(policy.descriptors()))))
    return lanes


def compare(sandbox: Sandbox, conf: EnvironmentConf, action: str) -> None:
    """Print the comparison for one environment. `action` is the action of every step, in Python."""
    approach = _APPROACH.format(action=action)
    cores = sorted(os.sched_getaffinity(0))[:2]
    with ExitStack() as stack:
        stack.callback(_use, sorted(os.sched_getaffinity(0)))
        pool = stack.enter_context(ThreadPoolExecutor(2))
        lanes = _open_lanes(stack, sandbox, conf, approach)
        here = _here(conf, approach)

        def on(count: int, play: Callable[[], float]) -> Callable[[], float]:
            def played() -> float:
                _use(cores[:count])
                return play()

            return played

        runs = {"here": on(1, here), "sealed": on(1, lambda: _sealed(lanes[0], conf.max_steps))}
        if len(cores) == 2:
            runs["two"] = on(2, lambda: _side_by_side(lanes, pool, conf.max_steps))
        rounds = [{kind: run() for kind, run in runs.items()} for _ in range(_ROUNDS)]

    def median(of: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(map(of, rounds))

    base, more = 1e3 * median(itemgetter("here")), 1e3 * median(lambda cost: cost["sealed"] - cost["here"])
    shares = f"{median(lambda cost: cost['here'] / cost['sealed']):.2f} x steps/s on one core"
    if len(cores) == 2:
        shares += f", {median(lambda cost: cost['here'] / cost['two']):.2f} x in two lanes on two cores"
    print(f"  a step of {conf.name} takes {base:.3f} ms here, sealed {more:.3f} ms more: {shares}")


def main() -> None:
    """Print all comparisons."""
    sandbox = make_sandbox(SandboxConf(name="bubblewrap", kind="bubblewrap"))
    print(f"sealed episodes beside those of one process (medians of {_ROUNDS} rounds):")
    compare(sandbox, EnvironmentConf("maze", "maze", {"min_size": 5, "max_size": 5}, _MAZE_STEPS), "0")
    if find_spec("kinder") is not None:
        motion = EnvironmentConf("motion2d", "kinder", {"id": "kinder/Motion2D-p1-v0"}, _MOTION_STEPS)
        compare(sandbox, motion, "np.zeros(5, np.float32)")


if __name__ == "__main__":
    main()
