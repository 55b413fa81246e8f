"""A black box hides its environment: a probe in the real rooms finds nothing of it. It finds a readable one."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from harness.access.kit import ENDPOINT, KIT, Access
from harness.case_folder import CaseFolder
from harness.endings import Ending
from harness.environment_conf import EnvironmentConf, Visibility
from harness.environments.factory import make_environment
from harness.environments.provenance import hidden_from
from harness.evaluation.policy import PolicyHost
from harness.sandbox.base import BoundedSandbox, Bounds
from harness.sandbox.dirs import SandboxDirs
from harness.telemetry import WorldUse
from tests.security import black_box_probe
from tests.support.project import ROOT, Project
from tests.support.sandboxes import bubblewrap, finish

WORLDS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "maze": (
        {"min_size": 3, "max_size": 5},
        [
            ["maze.py", "maze.cpython", "proctor"],
            ["class MazeState"],
            ["harness", "harness.environments.maze", "proctor"],
        ],
    ),
    "kinder": (
        {"id": "kinder/Motion2D-p1-v0"},
        [
            ["kinder", "tomsgeoms2d", "proctor"],
            ["kinder.envs", "KinderEnvironment"],
            ["kinder", "kinder.envs.utils", "tomsgeoms2d", "harness"],
        ],
    ),
}
"""The arguments of environments, and what the probe searches for: names, texts, modules, and whether in every file."""
POLICY = """
import json
from pathlib import Path
import black_box_probe


class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None):
        self.found = black_box_probe.find(*json.loads(Path(__file__).with_name("wanted.json").read_text()))

    def reset(self, state, info):
        pass

    def get_action(self, state):
        return self.found
"""
PATIENCE_S = 60.0
"""The session would take 600 seconds if nothing ended it. The machine may be busy."""
PROBE = Path(black_box_probe.__file__)


def conf_of(kind: str, visibility: Visibility) -> EnvironmentConf:
    return EnvironmentConf("dark", kind, WORLDS[kind][0], 20, visibility=visibility)


def probed_by_an_agent(folder: Path, kind: str, visibility: Visibility) -> dict[str, Any]:
    """Return what the probe finds in the box of an agent."""
    conf = conf_of(kind, visibility)
    sandbox = BoundedSandbox(bubblewrap(), Bounds(), hidden_from(conf))
    dirs = SandboxDirs(sandbox, CaseFolder(folder / "run" / "case"))
    dirs.folder.make()
    kit = folder / KIT
    with ExitStack() as stack:
        environment = stack.enter_context(closing(make_environment(conf)))
        access = Access(conf, environment, WorldUse())
        access.fill(kit)
        box = stack.enter_context(dirs.open(endpoints=(ENDPOINT,), mounts={KIT: kit}))
        workspace = dirs.where(dirs.workspace)
        (workspace / PROBE.name).write_bytes(PROBE.read_bytes())
        if access.endpoints:
            stack.enter_context(closing(access.serve(box.endpoints[ENDPOINT].listener, kit)))
        for name in access.links:
            (workspace / name).symlink_to(f"{box.mounts[KIT]}/{name}")
        wanted = json.dumps(WORLDS[kind][1])
        program = ["-c", f"import black_box_probe, json, sys; print(json.dumps(black_box_probe.find(*{wanted})))"]
        if access.endpoints:
            program = [PROBE.name, wanted]
        code, printed = finish(box, [sandbox.python.inside, "-B", *program])
        assert code == 0, dirs.stderr.read_text()
    found: dict[str, Any] = json.loads(printed) if access.endpoints else {"found": json.loads(printed), "errors": []}
    return found


def probed_by_a_policy(folder: Path, kind: str, visibility: Visibility) -> list[str]:
    """Return what the probe finds in the box of a policy."""
    conf = conf_of(kind, visibility)
    submission = folder / "submission"
    submission.mkdir()
    (submission / "approach.py").write_text(POLICY)
    (submission / "wanted.json").write_text(json.dumps(WORLDS[kind][1]))
    (submission / PROBE.name).write_bytes(PROBE.read_bytes())
    (folder / "scratch").mkdir()
    sandbox = BoundedSandbox(bubblewrap(), Bounds(), hidden_from(conf))
    with (
        closing(make_environment(conf)) as environment,
        PolicyHost(sandbox, submission, folder / "scratch", environment.spaces()) as policy,
    ):
        observation, info = environment.reset(0)
        policy.reset(observation, info)
        found: list[str] = policy.act(observation)
    return found


def own(lines: list[str], kind: str) -> list[str]:
    """Return the lines that are not about the probe's own files and arguments, nor about the name of the checkout."""
    names = WORLDS[kind][1][0]

    def only_the_checkout(line: str) -> bool:
        return str(ROOT) in line and not any(name in line.replace(str(ROOT), "") for name in names)

    ours = ("black_box_probe", "wanted.json")
    return [line for line in lines if not any(name in line for name in ours) and not only_the_checkout(line)]


@pytest.mark.parametrize("kind", ["kinder", pytest.param("maze", marks=pytest.mark.nightly)])
def test_a_probe_finds_nothing_of_a_black_box_and_the_source_where_it_is_readable(tmp_path: Path, kind: str) -> None:
    hidden = probed_by_an_agent(tmp_path / "hidden", kind, "api")
    assert own(hidden["found"], kind) == []
    assert len(hidden["errors"]) >= 6
    for said in hidden["errors"]:
        text = said.replace("kinder/Motion2D-p1-v0", "")  # the task names it
        assert not any(word in text for word in (".py", "/", "Traceback", "kinder", "Maze")), said
    readable = own(probed_by_an_agent(tmp_path / "readable", kind, "source")["found"], kind)
    kinds = {line.partition(":")[0] for line in readable}
    assert {"name", "content"} <= kinds
    if kind == "kinder":
        assert {"module", "listed", "package"} <= kinds


@pytest.mark.nightly
def test_a_probe_in_a_policys_box_finds_nothing_of_a_black_box(tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "readable").mkdir()
    assert own(probed_by_a_policy(tmp_path / "hidden", "kinder", "api"), "kinder") == []
    readable = own(probed_by_a_policy(tmp_path / "readable", "kinder", "source"), "kinder")
    assert {"name", "content", "module", "listed", "package"} <= {line.partition(":")[0] for line in readable}


DYING = """
import os
from harness.environments.maze import Maze


class Dying(Maze):
    def __init__(self, max_steps):
        super().__init__(3, 5, max_steps)

    def step(self, action):
        os._exit(7)
"""
PLAYS = """\
turns:
  - calls:
      - write: play.py
        content: |
          import time
          import env_client
          env = env_client.make()
          env.reset(seed=0)
          try:
              env.step(0)
          finally:
              time.sleep(600)
  - calls: [{run: python play.py}]
  - text: Never reached.
"""


def test_sessions_play_a_black_box_and_end_with_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("dying.py", DYING)
    project.write("conf/environment/dying.yaml", "name: dying\nkind: dying:Dying\nmax_steps: 20\nvisibility: api\n")
    project.write("conf/scripts/dying.yaml", PLAYS)
    cases = "backends: [claude]\nmodels: [scripted]\nenvironments: [small_maze_black_box, dying]\n"
    project.write("conf/suite/dark.yaml", f"name: dark\n{cases}")
    shown = project.pytest("--suite", "dark", "--set", "limits.retries=0", "--set", "evaluation.episodes=5").stdout
    records = project.records
    solved, dead = records["claude-scripted-small_maze_black_box"], records["claude-scripted-dying"]
    assert solved.outcome == "passed", shown
    assert solved.visibility == "api"
    assert solved.telemetry is not None
    assert (solved.telemetry.clients, solved.telemetry.trials, solved.telemetry.seeds) == (2, 1, 20)
    assert solved.submission is not None
    assert "approach.py" in solved.submission["files"]
    assert not [name for name in (*solved.submission["files"], *solved.submission["left_out"]) if "env_client" in name]
    assert (dead.ending, dead.outcome) == (Ending.ENVIRONMENT_FAILED, "error"), shown
    assert dead.explanation == "environment dying: its process ended (exit code 7) during step()"
    assert dead.attempts[0].seconds < PATIENCE_S
