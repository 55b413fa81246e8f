"""A submission cannot compute the held-out seeds of real models. With their key, the same submission can."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from harness.case_folder import CaseFolder
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.evaluation.held_out import HeldOutFault
from harness.evaluation.printed import PolicyLog
from harness.evaluation.rollout import evaluate
from harness.evaluation.seeds import episode_seeds
from harness.evaluation.submission import collect
from harness.grading import EvaluationConf
from harness.results.record import Record
from harness.seed_key import PUBLIC, VARIABLE, SeedKey
from tests.support.hosted import hosted_maze
from tests.support.project import ROOT, Project
from tests.support.sandboxes import PYTHON, bubblewrap, finish, request
from tests.support.seed import SEED, files_with_seed

HERE = Path(__file__).parent
PUBLIC_CODE = (
    "__init__.py",
    "endings.py",
    "seed_key.py",
    "evaluation/__init__.py",
    "evaluation/seeds.py",
    "environments/__init__.py",
    "environments/base.py",
    "environments/fidelity.py",
    "environments/maze.py",
)
"""The modules of `harness/` that derive seeds and make mazes."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the hunter as its submission, of a user who has a configuration folder and no private seed."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    submission = project.folder / "hunter"
    for name in PUBLIC_CODE:
        copy = submission / "harness" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "harness" / name, copy)
    shutil.copy(HERE / "seed_hunter.py", submission / "approach.py")
    shutil.copy(HERE / "good_policy.py", submission / "good.py")
    configure(project)
    return project


def configure(project: Project, *, thorough: bool = False) -> None:
    told = {"environment": "large_maze", "sizes": [10, 15], "thorough": thorough}
    project.write("hunter/hunt.json", json.dumps(told))


def grade(project: Project, *options: str) -> tuple[Record, str]:
    """Grade the hunter. Return its record and what it printed."""
    hunted = ("--submission=hunter", "--suite=nightly", "--environment=large_maze", "--set=suite.replicates=1")
    done = project.pytest(*hunted, "--set=evaluation.episodes=3", *options)
    assert "submission-large_maze" in done.stdout, done.stdout + done.stderr
    assert SEED not in done.stdout + done.stderr
    [record] = project.records.values()
    return record, (project.folder / "runs/latest/submission-large_maze/policy.log").read_text()


def assert_found_nothing(record: Record, printed: str) -> None:
    assert "the seeds come from: None" in printed
    assert "private key" not in printed
    assert record.score is not None
    assert (record.score.solved, record.score.crashed) == (0, 3)
    assert "I do not know this seed" in record.explanation
    tried = re.findall(r"read (\d+) texts; trying (\d+) keys and (\d+) numbers", printed)
    assert len(tried) == 3
    assert min(int(count) for counts in tried for count in counts) > 200, "it has looked, also into /proc"


def test_a_submission_cannot_find_the_private_seed_and_no_file_of_the_run_holds_it(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = secrets.token_hex(32)
    key_file = tmp_path / "config/proctor/seed"
    key_file.parent.mkdir(parents=True)
    key_file.write_text(f"{other}\n")
    key_file.chmod(0o600)
    monkeypatch.setenv(VARIABLE, SEED)
    record, printed = grade(project, "-n", "1", "-l")
    assert_found_nothing(record, printed)
    assert record.warnings == []
    assert record.seed_key not in (None, PUBLIC.digest)
    assert files_with_seed(project.folder) == []
    assert files_with_seed(project.folder, other) == []


def test_with_public_seeds_the_same_submission_finds_them_and_the_record_warns(project: Project) -> None:
    record, printed = grade(project)
    assert "the seeds come from: the public key" in printed
    assert record.score is not None
    assert record.score.solve_rate == 1
    assert record.seed_key == PUBLIC.digest
    [warning] = record.warnings
    assert "held-out episodes are public" in warning
    assert "`proctor seed`" in warning


def test_a_private_seed_that_lies_where_the_submission_can_read_is_found(project: Project, tmp_path: Path) -> None:
    project.write("hunter/notes.txt", f"the key is {SEED.upper()}.\n")
    submission = collect(project.folder / "hunter", tmp_path / "submission")
    with hosted_maze(10, 15, max_steps=1000) as maze:
        score, _ = evaluate(
            maze,
            submission,
            bubblewrap(),
            conf=EvaluationConf(episodes=2),
            seeds=episode_seeds(SeedKey(bytes.fromhex(SEED), "here"), "large_maze", 2),
            scratch=tmp_path / "scratch",
            files=CaseFolder(tmp_path),
            log=PolicyLog(tmp_path / "policy.log"),
            progress=lambda _done, _scheduled: None,
        )
    assert "the seeds come from: a key in a file" in (tmp_path / "policy.log").read_text()
    assert score.solve_rate == 1


def test_an_exception_of_the_environment_does_not_tell_the_seed_of_its_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text(
        "from harness.environments.maze import Maze\n\nclass Broken(Maze):\n"
        "    def reset(self, seed):\n        raise KeyError(seed)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hand_in").mkdir()
    shutil.copy(HERE / "good_policy.py", tmp_path / "hand_in/approach.py")
    seeds = episode_seeds(SeedKey(bytes.fromhex(SEED), "here"), "broken", 3)
    conf = EnvironmentConf("mine", "broken:Broken", {"min_size": 3, "max_size": 5}, 10)
    with closing(make_environment(conf)) as broken, pytest.raises(HeldOutFault) as raised:
        evaluate(
            broken,
            collect(tmp_path / "hand_in", tmp_path / "submission"),
            bubblewrap(),
            conf=EvaluationConf(episodes=3),
            seeds=seeds,
            scratch=tmp_path / "scratch",
            files=CaseFolder(tmp_path),
            log=PolicyLog(tmp_path / "policy.log"),
            progress=lambda _done, _scheduled: None,
        )
    assert str(raised.value) == "environment mine: episode 0 failed: KeyError: <held-out seed> (broken.py:5)"
    assert "raise KeyError(seed)" in raised.value.details
    shown = str(raised.getrepr(showlocals=True, funcargs=True, style="long")) + raised.value.details
    assert [seed for seed in seeds if str(seed) in shown] == []


@pytest.mark.nightly
def test_a_submission_that_reads_the_whole_system_finds_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, SEED)
    configure(project, thorough=True)
    assert_found_nothing(*grade(project, "--set=evaluation.episode_wall_s=1800"))


def test_the_file_of_the_private_seed_cannot_be_read_even_below_a_path_that_a_box_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "shown/config"))
    monkeypatch.setenv(VARIABLE, SEED)
    folder = tmp_path / "shown/config/proctor"
    folder.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for path in (tmp_path / "elsewhere/seed", folder / "beside"):
        path.write_text(SEED)
        path.chmod(0o644)  # so that nothing but the box hides it
    (folder / "seed").symlink_to(tmp_path / "elsewhere/seed")
    shown = (tmp_path / "shown", tmp_path / "elsewhere", *PYTHON.readable)
    read = f"cat {folder}/beside; cat {folder}/seed {tmp_path}/elsewhere/seed; env; cat /proc/*/environ"
    with bubblewrap().open(request(tmp_path / "room", readable=shown)) as box:
        _, output = finish(box, ["sh", "-c", read])
    assert output.startswith(SEED), "the folder itself is shown"
    assert SEED not in output.removeprefix(SEED)
    said = (tmp_path / "room/stderr").read_text()
    assert said.count("seed: Permission denied") == 2
