"""Our own policies solve the environments that they are for, graded as a submission of an agent is."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from harness.case_folder import CaseFolder
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.evaluation.printed import PolicyLog
from harness.evaluation.rollout import evaluate
from harness.evaluation.submission import collect
from harness.grading import EvaluationConf
from harness.policies import reference_folder
from tests.support.sandboxes import bubblewrap

MAZE = EnvironmentConf("small_maze", "maze", {"min_size": 3, "max_size": 20}, 1000)

COUNTED = {
    "motion2d": ("Motion2D-p0", "num_passages", (0, 1, 2, 3, 4, 5)),
    "obstruction2d": ("Obstruction2D-o0", "num_obstructions", (0, 1, 2, 3, 4)),
    "stickbutton2d": ("StickButton2D-b1", "num_buttons", (1, 2, 3, 5, 10)),
    "clutteredretrieval2d": ("ClutteredRetrieval2D-o1", "num_obstructions", (1, 3, 5, 10, 15, 20, 25)),
    "clutteredstorage2d": ("ClutteredStorage2D-b1", "num_blocks", (1, 3, 7, 11, 15)),
}
"""The environments with a number of objects: the id of KinDER, the argument, and the numbers that are played."""


def kinder(family: str, count: int) -> EnvironmentConf:
    """Return an environment with this number of objects. Its horizon is the reference project's for that number."""
    world, argument, _ = COUNTED[family]
    arguments = {"id": f"kinder/{world}-v0", "kwargs": {argument: count}}
    return EnvironmentConf(f"{family}_counted", "kinder", arguments, 300 + 150 * count)


def solved(tmp_path: Path, conf: EnvironmentConf, episodes: int) -> int:
    """Return how many episodes of an environment its policy solves."""
    folder = reference_folder(conf.name)
    assert folder is not None
    shutil.copytree(folder, tmp_path / "workspace", ignore=shutil.ignore_patterns("__pycache__"))
    with closing(make_environment(conf)) as environment:
        score, _ = evaluate(
            environment,
            collect(tmp_path / "workspace", tmp_path / "submission"),
            bubblewrap(),
            conf=EvaluationConf(episodes=episodes, episode_wall_s=300.0),
            seeds=range(10_000_000, 10_000_000 + episodes),
            scratch=tmp_path / "scratch",
            files=CaseFolder(tmp_path),
            log=PolicyLog(tmp_path / "policy.log"),
            progress=lambda _done, _scheduled: None,
        )
    return score.solved


def test_every_policy_has_a_folder_and_other_environments_have_none() -> None:
    for name in ("small_maze", "large_maze", "motion2d_hard", "motion2d_generalized", "pushpullhook2d"):
        folder = reference_folder(name)
        assert folder is not None, name
        assert (folder / "approach.py").is_file(), name
    assert reference_folder("mazes_of_mine") is None
    assert reference_folder("mine") is None


def test_mazes_are_solved(tmp_path: Path) -> None:
    assert solved(tmp_path, MAZE, 6) == 6


def test_motion_in_the_plane_is_solved(tmp_path: Path) -> None:
    assert solved(tmp_path, kinder("motion2d", 3), 3) == 3


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("family", "count"), [(family, count) for family, (_, _, counts) in COUNTED.items() for count in counts]
)
def test_every_number_of_objects_is_solved(tmp_path: Path, family: str, count: int) -> None:
    assert solved(tmp_path, kinder(family, count), 20) >= 19


@pytest.mark.nightly
def test_the_hook_pushes_the_button(tmp_path: Path) -> None:
    conf = EnvironmentConf("pushpullhook2d", "kinder", {"id": "kinder/PushPullHook2D-v0"}, 1000)
    assert solved(tmp_path, conf, 20) >= 19
