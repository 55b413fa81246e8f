"""Compares steps of an environment with the same steps while they are recorded, in one process and without a policy."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np

from harness.environment_conf import EnvironmentConf
from harness.environments.base import Environment, Plain
from harness.environments.factory import adapter_path, described
from harness.environments.making import make
from harness.evaluation.recording import EpisodeRecorder, checksum
from tests.benchmarks.cost import least

_ROUNDS = 15
_STEPS = 300


def stepping(conf: EnvironmentConf, action: Plain) -> None:
    """Print what recording adds to a step, and how long the recording is."""
    environment = make(described(conf), adapter_path(conf))
    sizes: list[int] = []
    cost = least(
        {"bare": partial(_bare, environment, action), "recorded": partial(_recorded, environment, action, sizes)},
        _ROUNDS,
    )
    bare, more = 1e6 * cost["bare"], 1e6 * (cost["recorded"] - cost["bare"])
    print(
        f"  a step of {conf.name} costs {bare:.1f} us, recording it {more:.1f} us more: "
        f"{cost['recorded'] / cost['bare']:.2f} x; {_STEPS} steps are {sizes[-1]} bytes"
    )


def _bare(environment: Environment, action: Plain) -> float:
    environment.reset(0)
    began = time.process_time()
    for _ in range(_STEPS):
        environment.step(environment.action(action))
    return (time.process_time() - began) / _STEPS


def _recorded(environment: Environment, action: Plain, sizes: list[int]) -> float:
    recorder = EpisodeRecorder(environment)
    recorder.reset(0)
    began = time.process_time()
    for _ in range(_STEPS):
        recorder.step(recorder.action(action))
    sizes.append(len(recorder.recorded()))
    return (time.process_time() - began) / _STEPS


def looking() -> None:
    """Print what the checksum of a picture costs, beside its copy."""
    picture = np.random.default_rng(0).integers(0, 255, (400, 600, 3), np.uint8)
    cost = least(
        {"copy": lambda: _each(picture.tobytes), "checksum": lambda: _each(partial(checksum, picture))}, _ROUNDS
    )
    copy, look = 1e6 * cost["copy"], 1e6 * cost["checksum"]
    print(f"  the checksum of an observation of 720,000 bytes costs {look:.1f} us, copying it {copy:.1f} us")


def _each(call: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(_STEPS):
        call()
    return (time.process_time() - began) / _STEPS


def main() -> None:
    """Print all comparisons."""
    print(f"recording episodes (CPU time, least of {_ROUNDS} rounds):")
    stepping(EnvironmentConf("small_maze", "maze", {"min_size": 3, "max_size": 5}, _STEPS), 0)
    stepping(EnvironmentConf("large_maze", "maze", {"min_size": 12, "max_size": 20}, _STEPS), 0)
    if find_spec("kinder") is not None:
        motion = EnvironmentConf("motion2d", "kinder", {"id": "kinder/Motion2D-p1-v0"}, _STEPS)
        stepping(motion, np.zeros(5, np.float32))
    looking()


if __name__ == "__main__":
    main()
