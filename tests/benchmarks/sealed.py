"""Compares what a sandbox costs with the same without one: opening a box, a step of a sealed policy, and an episode.

A box with two endpoints is compared with a bare `bwrap` that runs `true`. A step is the call of a policy that gets an
observation of 40 floats and returns an action of 5. It is compared with the same call in this process. An episode is
one of a maze, or of KinDER's Motion2D if that is installed: with a policy in a box and the environment in its process,
and with both in this process.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from gymnasium import spaces

from harness.case import SandboxConf
from harness.environment_conf import EnvironmentConf
from harness.environments.base import Plain
from harness.environments.factory import adapter_path, described, make_environment
from harness.environments.making import make
from harness.environments.spaces import space_to_plain
from harness.evaluation.policy import PolicyHost
from harness.sandbox.base import BoxRequest, Sandbox
from harness.sandbox.factory import make_sandbox
from tests.benchmarks.cost import least

_ROUNDS = 15
_STEPS = 400
_PLAYED = 100
_BARE = ("bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "true")
_APPROACH = """\
import numpy as np

class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None):
        self.action = np.zeros(5, np.float32)

    def reset(self, state, info):
        pass

    def get_action(self, state):
        return self.action
"""


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def opening(sandbox: Sandbox) -> None:
    """Print the times until a box is open and until a bare `bwrap` has run its command."""
    with tempfile.TemporaryDirectory() as name:
        request = BoxRequest(
            workspace=Path(name, "workspace"),
            home=Path(name, "home"),
            stderr=Path(name, "stderr"),
            readable=sandbox.python.readable,
            endpoints=("model", "environment"),
        )

        def open_box() -> float:
            began = time.perf_counter()
            with sandbox.open(request):
                return time.perf_counter() - began

        cost = least({"bare": lambda: _seconds(lambda: subprocess.run(_BARE, check=True)), "box": open_box}, _ROUNDS)
    bare, box = 1e3 * cost["bare"], 1e3 * cost["box"]
    print(f"  a box with two endpoints opens in {box:.1f} ms, a bare bwrap runs in {bare:.1f} ms: {box / bare:.1f} x")


def stepping(sandbox: Sandbox) -> None:
    """Print what a step costs with a sealed policy and with one in this process."""
    observation = np.linspace(0, 1, 40, dtype=np.float32)
    plain: dict[str, Plain] = {
        "observation_space": space_to_plain(spaces.Box(-1, 1, (40,))),
        "action_space": space_to_plain(spaces.Box(-1, 1, (5,))),
    }
    names: dict[str, object] = {}
    exec(_APPROACH, names)  # noqa: S102 - our own text, the policy of this benchmark
    here = names["GeneratedApproach"](None, None)  # type: ignore[operator]  # a class
    with tempfile.TemporaryDirectory() as name:
        submission = Path(name, "submission")
        submission.mkdir()
        (submission / "approach.py").write_text(_APPROACH)
        with PolicyHost(sandbox, submission, Path(name, "scratch"), plain) as policy:
            policy.reset(observation, {})
            act: dict[str, Callable[[], object]] = {
                "here": lambda: here.get_action(observation),
                "sealed": lambda: policy.act(observation),
            }

            def steps(call: Callable[[], object]) -> Callable[[], float]:
                return lambda: _seconds(lambda: [call() for _ in range(_STEPS)]) / _STEPS

            cost = least({kind: steps(call) for kind, call in act.items()}, _ROUNDS)
    print(f"  a sealed step costs {1e3 * (cost['sealed'] - cost['here']):.3f} ms more than one in this process")


def playing(sandbox: Sandbox, conf: EnvironmentConf, steps: int) -> None:
    """Print what a step of an episode costs with everything sealed, and with everything in this process."""
    names: dict[str, object] = {}
    approach = _APPROACH.replace("np.zeros(5, np.float32)", "0" if conf.kind == "maze" else "np.zeros(5, np.float32)")
    exec(approach, names)  # noqa: S102 - our own text, the policy of this benchmark
    policy = names["GeneratedApproach"](None, None)  # type: ignore[operator]  # a class
    environment = make(described(conf), adapter_path(conf))

    def here() -> float:
        observation, _ = environment.reset(0)
        began = time.perf_counter()
        for _ in range(steps):
            observation = environment.step(environment.action(policy.get_action(observation))).observation
        return (time.perf_counter() - began) / steps

    with tempfile.TemporaryDirectory() as name, closing(make_environment(conf)) as hosted:
        submission = Path(name, "submission")
        submission.mkdir()
        (submission / "approach.py").write_text(approach)
        with PolicyHost(sandbox, submission, Path(name, "scratch"), hosted.spaces()) as player:
            player.load()
            with closing(hosted.another(player.descriptors())) as process:
                keywords = {"index": 0, "seed": 0, "wall_s": 60.0}

                def sealed() -> float:
                    played = process.ask("run", "harness.evaluation.playing:play", keywords, limit=60.0)["episode"]
                    assert played["steps"] == steps, played
                    return float(played["seconds"]) / steps

                cost = least({"here": here, "sealed": sealed}, _ROUNDS)
    base, more, share = 1e3 * cost["here"], 1e3 * (cost["sealed"] - cost["here"]), cost["here"] / cost["sealed"]
    print(f"  a step of {conf.name} costs {base:.3f} ms here, sealed {more:.3f} ms more: {share:.2f} x steps/s")


def main() -> None:
    """Print all comparisons."""
    sandbox = make_sandbox(SandboxConf(name="bubblewrap", kind="bubblewrap"))
    print(f"a sandbox beside none (least of {_ROUNDS} rounds):")
    opening(sandbox)
    stepping(sandbox)
    playing(sandbox, EnvironmentConf("maze", "maze", {"min_size": 5, "max_size": 5}, _PLAYED), _PLAYED)
    if find_spec("kinder") is not None:
        playing(sandbox, EnvironmentConf("motion2d", "kinder", {"id": "kinder/Motion2D-p1-v0"}, _PLAYED), _PLAYED)


if __name__ == "__main__":
    main()
