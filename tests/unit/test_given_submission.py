"""`pytest --submission FOLDER`, and a fixture `submission` that returns a folder: grading without an agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.case_folder import CaseFolder
from harness.endings import Cause, Ending
from harness.results.record import CaseNames, CaseUsage, Record
from harness.results.store import read
from tests.support.project import Project

GOOD = Path(__file__).parents[1] / "security/good_policy.py"
WRONG = """\
class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None):
        pass

    def reset(self, state, info):
        print("I go up")

    def get_action(self, state):
        return 0
"""
FEW = "--set=evaluation.episodes=3"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    project = Project(folder)
    project.write("good/approach.py", "from helper import GeneratedApproach\n")
    project.write("good/helper.py", GOOD.read_text())
    project.write("wrong/approach.py", WRONG)
    return project


def without_an_agent(record: Record) -> bool:
    return (record.attempts, record.usage, record.versions.cli, record.versions.model_digest) == (
        [],
        CaseUsage(),
        None,
        None,
    )


def test_each_environment_and_replicate_of_the_suite_is_graded_once(project: Project) -> None:
    ids = [f"submission-{environment}-r{n}" for environment in ("small_maze", "motion2d_easy") for n in (1, 2)]
    arguments = ("--submission", "good", "--suite", "pr", "--set=suite.replicates=2")
    collected = project.pytest(*arguments, "--collect-only", "-q").stdout
    assert [line.partition("[")[2].rstrip("]") for line in collected.splitlines() if "::" in line] == ids

    done = project.pytest(*arguments, FEW, "-k", "small_maze", "-n", "1", "--junitxml=junit.xml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project.folder / "junit.xml").read_text().count('<property name="solve_rate" value="1.0" />') == 2
    assert sorted(project.records) == ids[:2]
    record = project.records["submission-small_maze-r2"]
    assert record.case == CaseNames("submission-small_maze-r2", "submission", "none", "none", "small_maze", 2)
    assert (record.outcome, record.ending, record.cause) == ("passed", Ending.FINISHED, Cause.AGENT)
    assert record.explanation == f"no agent ran: --submission gave {project.folder}/good"
    assert without_an_agent(record)
    assert not record.scripted
    assert record.versions.environment is not None
    assert record.submission is not None
    assert record.submission["files"] == ["approach.py", "helper.py"]
    assert record.score is not None
    assert (record.score.solved, record.score.episodes) == (3, 3)
    assert record.seeds_digest == project.records["submission-small_maze-r1"].seeds_digest, "replicates are paired"
    assert "--submission=good" in record.options
    kept = CaseFolder(project.folder / "runs/latest/submission-small_maze-r2")
    assert (kept.submission / "helper.py").read_text() == (project.folder / "good/helper.py").read_text()
    assert kept.packages.exists()


CURIOUS = """
import os, pathlib
from helper import GeneratedApproach
for name in ("mountinfo", "mounts", "mountstats", "cgroup", "cmdline", "environ"):
    print(name, pathlib.Path("/proc/self", name).read_bytes())
for link in pathlib.Path("/proc/self/fd").iterdir():
    try:
        print(os.readlink(link))
    except OSError:
        pass
"""


def test_a_submission_does_not_learn_that_it_is_graded_or_in_which_case(project: Project) -> None:
    project.write("good/approach.py", CURIOUS)
    done = project.pytest("--submission", "good", "--environment", "small_maze", FEW)
    assert done.returncode == 0, done.stdout
    kept = CaseFolder(project.folder / "runs/latest/submission-small_maze")
    seen = kept.policy_log.read_text()
    assert "mountinfo" in seen
    run = kept.path.resolve().parent
    assert not [word for word in ("small_maze", "submission-", run.name) if word in seen]
    assert not [*run.glob(".room-*"), *run.parent.glob(".room-*")]


ASKING = """\
def test_agent(model_server, score):
    pass

def test_cli(cli):
    pass
"""


def test_a_wrong_submission_fails_as_an_agents_would_and_a_test_that_needs_the_agent_is_skipped(
    project: Project,
) -> None:
    project.write("test_asking.py", ASKING)
    done = project.pytest("--submission=wrong", "--environment", "small_maze", FEW, "-rs")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 2 skipped" in done.stdout
    assert "--submission grades a folder: this case has no agent, no CLI and no model" in done.stdout
    [record] = read(project.folder / "runs/latest/results.jsonl")
    assert (record.outcome, record.ending) == ("failed", Ending.FINISHED)
    assert record.score is not None
    assert record.explanation == f"{record.score.solved} of 3 solved, 3 needed; {3 - record.score.solved} unsolved"
    shown = done.stdout.partition("= FAILURES =")[2]
    assert "policy.log      what the submission printed" in shown
    assert "stream.jsonl" not in shown, "there is none"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--submission", "nowhere"], "/project/nowhere does not exist; name the folder that holds approach.py"),
        (["--submission", "good/approach.py"], "/project/good/approach.py is a file; name the folder"),
        (["--submission=conf"], "/project/conf has no approach.py; name the folder that holds approach.py"),
        (["--submission=."], "this folder also holds the run"),
    ],
)
def test_a_folder_that_is_no_submission_is_a_usage_error(project: Project, arguments: list[str], message: str) -> None:
    project.write("approach.py", WRONG)
    done = project.pytest(*arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert f"ERROR: --submission {arguments[-1].removeprefix('--submission=')}: " in done.stderr
    assert message in done.stderr
    assert not (project.folder / "runs").exists()


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["here", "in a worker"])
def test_the_submission_of_the_newest_run_can_be_given_by_the_link_to_that_run(
    project: Project, workers: tuple[str, ...]
) -> None:
    project.write("runs/earlier/case/submission/approach.py", GOOD.read_text())
    (project.folder / "runs/latest").symlink_to("earlier")
    done = project.pytest("--submission=runs/latest/case/submission", "--suite=smoke", FEW, *workers)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = project.records.values()
    assert record.explanation == f"no agent ran: --submission gave {project.folder}/runs/earlier/case/submission"


def test_a_folder_outside_the_project_can_be_given(project: Project, tmp_path: Path) -> None:
    (project.folder / "good").rename(tmp_path / "outside")
    done = project.pytest("--submission=../outside", "--environment", "small_maze", FEW)
    assert done.returncode == 0, done.stdout + done.stderr
    done = project.pytest("--submission", "../outside")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "pytest took this folder for a path of tests" in done.stderr
    assert "write --submission=../outside" in done.stderr


OVERRIDDEN = """\
import pathlib
import pytest

@pytest.fixture
def submission(case):
    return pathlib.Path("good") if case.backend.name == "claude" else {}

def test_mine(case, score):
    assert score.solve_rate == 1
"""


def test_a_fixture_of_the_users_own_may_return_a_folder(project: Project) -> None:
    project.write("test_cases.py", OVERRIDDEN)
    done = project.pytest("--environment", "small_maze", FEW)
    assert "1 passed, 1 error" in done.stdout, done.stdout
    passed, error = project.records["claude-scripted-small_maze"], project.records["opencode-scripted-small_maze"]
    assert passed.score is not None
    assert (passed.score.solved, passed.ending) == (3, Ending.FINISHED)
    assert passed.explanation == f"no agent ran: the fixture `submission` gave {project.folder}/good"
    assert without_an_agent(passed)
    assert error.outcome == "error"
    assert error.explanation == (
        "the fixture `submission` must give a folder, or what Proctor's own fixture gives, and not {}"
    )


CHANGED = """\
import pytest

@pytest.fixture
def submission(submission):
    (submission.path / "approach.py").write_text("raise ValueError('changed')")
    return submission.path

def test_mine(score):
    assert score.crashed == score.episodes
"""


def test_a_fixture_may_change_what_the_agent_left(project: Project) -> None:
    project.write("test_cases.py", CHANGED)
    done = project.pytest("--backend", "claude", "--environment", "small_maze", FEW)
    assert done.returncode == 0, done.stdout
    record = project.records["claude-scripted-small_maze"]
    assert len(record.attempts) == 1
    assert record.score is not None
    assert record.score.crashed == 3
