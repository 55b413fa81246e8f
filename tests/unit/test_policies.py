"""Our own policies solve the environments that they are for, graded as any program is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.environment_conf import EnvironmentConf
from harness.environments.factory import available
from harness.policies import reference_folder
from harness.suite.config import load_environments
from tests.support.project import CONF

TOO_SLOW = {"clutteredretrieval2d_hard", "clutteredretrieval2d_generalized"}
"""With 25 obstructions, the robot may shut itself in. Then it plans again at each step, which takes too long."""

OWN = {
    name: conf
    for name, conf in load_environments(CONF).items()
    if reference_folder(name) is not None and name not in TOO_SLOW
}
UNSOLVED = {
    "dynobstruction2d_o3": 17,
    "dynobstruction2d_generalized": 18,
    "dynamicshelf3d_generalized": 13,
    "scooppour3d_generalized": 9,
    "sortclutteredblocks3d_generalized": 9,
    "sweepsimple3d_generalized": 12,
}
"""How many of 20 episodes are solved at least, where it is not 19.

With many cubes, the physics of MuJoCo may be too slow for the seconds of an episode: with 8 in dynamicshelf3d (7 of the
20 episodes), 20 in sortclutteredblocks3d (10), 50 in sweepsimple3d (5), and 100 in scooppour3d (10).
"""


def solved(name: str, episodes: int, runs: Path) -> int:
    """Return how many episodes of an environment its policy solves, by `proctor grade`."""
    command = [sys.executable, "-m", "harness", "grade", str(reference_folder(name)), "--environment", name]
    command += ["--episodes", str(episodes), "--json", "--runs-dir", str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: int = json.loads(done.stdout)["solved"]
    return result


def test_an_environment_of_a_family_has_a_policy_and_others_have_none() -> None:
    for name in ("small_maze", "large_maze", "motion2d_hard", "motion2d_generalized", "pushpullhook2d", "dynpusht2d"):
        folder = reference_folder(name)
        assert folder is not None, name
        assert (folder / "approach.py").is_file(), name
    assert reference_folder("mazes_of_mine") is None
    assert reference_folder("mine") is None


@pytest.mark.parametrize(("name", "episodes"), [("large_maze", 4), ("motion2d_hard", 3)])
def test_it_is_solved_in_a_few_episodes(name: str, episodes: int, tmp_path: Path) -> None:
    assert solved(name, episodes, tmp_path) == episodes


def _nightly() -> list[object]:
    """Return every environment that a policy is for. Those of other engines are marked `worlds`."""
    worlds = (pytest.mark.nightly, pytest.mark.worlds)
    return [
        pytest.param(conf, id=name, marks=pytest.mark.nightly if conf.interpreter is None else worlds)
        for name, conf in OWN.items()
    ]


@pytest.mark.parametrize("conf", _nightly())
def test_every_environment_is_solved(conf: EnvironmentConf, tmp_path: Path) -> None:
    if reason := available(conf):
        pytest.skip(reason)
    assert solved(conf.name, 20, tmp_path) >= UNSOLVED.get(conf.name, 19)
