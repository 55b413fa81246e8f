"""Compares what a sandbox costs with the same without one: opening a box, and a step of a sealed policy.

A box with two endpoints is compared with a bare `bwrap` that runs `true`. A step is the call of a policy that gets an
observation of 40 floats and returns an action of 5. It is compared with the same call in this process.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gymnasium import spaces

from harness.case import SandboxConf
from harness.environments.base import Plain
from harness.environments.spaces import space_to_plain
from harness.evaluation.policy import PolicyHost
from harness.sandbox.base import BoxRequest, Sandbox
from harness.sandbox.factory import make_sandbox
from tests.benchmarks.cost import least

_ROUNDS = 15
_STEPS = 400
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


def main() -> None:
    """Print all comparisons."""
    sandbox = make_sandbox(SandboxConf(name="bubblewrap", kind="bubblewrap"))
    print(f"a sandbox beside none (least of {_ROUNDS} rounds):")
    opening(sandbox)
    stepping(sandbox)


if __name__ == "__main__":
    main()
