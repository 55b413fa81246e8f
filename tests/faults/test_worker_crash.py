"""A worker is really killed in a case: the case runs once more, and each case is recorded exactly once."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from harness.endings import Cause, Ending
from harness.results.store import read
from tests.support.project import Project

pytestmark = pytest.mark.nightly  # each test waits for processes to be killed

SUITE = "name: crashes\nbackends: [claude]\nmodels: [scripted]\nenvironments: [small_maze]\nreplicates: 4\n"
TEST = """\
import os
import signal

import pytest

from harness.stash import BUILDER

def die():
    os.kill(os.getpid(), signal.SIGKILL)

@pytest.fixture
def submission(request, case):
    folder = request.node.stash[BUILDER].folder.path
    first = not (folder.parent / f"{case.id}.killed").exists()
    folder.mkdir(parents=True)
    (folder / "begun").touch()
    if (case.replicate == 2 and first) or case.replicate == 3:
        die()
    yield
    if case.replicate == 4:
        die()

def test_case(case, submission):
    pass
"""
SHARING = """\
import os
import signal

import pytest

from harness.stash import BUILDER

@pytest.fixture
def cli(request):
    request.node.stash[BUILDER].folder.path.mkdir(parents=True)
    raise RuntimeError("the CLI is broken")

@pytest.fixture
def killer(request):
    folder = request.node.stash[BUILDER].folder.path
    if folder.suffix != ".3":
        os.kill(os.getpid(), signal.SIGKILL)

def test_first(submission): pass

def test_second(killer, submission): pass

@pytest.mark.fresh_session
def test_fresh(killer, submission): pass
"""
ID = "claude-scripted-small_maze-r"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("conf/suite/crashes.yaml", SUITE)
    made.write("test_cases.py", TEST)
    return made


def test_a_case_that_kills_its_worker_runs_once_more_and_is_recorded_exactly_once(project: Project) -> None:
    project.write("test_other.py", "import os, signal\n\ndef test_other(): os.kill(os.getpid(), signal.SIGKILL)\n")
    files = ["test_cases.py", "test_other.py"]
    done = project.pytest("--suite", "crashes", "-n", "2", "--junit-xml", "junit.xml", *files)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert f"{ID}2] killed its worker" in done.stdout
    assert "1 failed, 3 passed, 2 errors, 2 rerun" in done.stdout

    recorded = Counter(record.case.id for record in read(project.folder / "runs/latest/results.jsonl"))
    assert recorded == {f"{ID}{replicate}": 1 for replicate in (1, 2, 3, 4)}
    assert {name: record.outcome for name, record in project.records.items()} == {
        f"{ID}1": "passed",
        f"{ID}2": "passed",
        f"{ID}3": "error",
        f"{ID}4": "passed",
    }
    killer = project.records[f"{ID}3"]
    assert (killer.ending, killer.cause) == (Ending.HARNESS_ERROR, Cause.HARNESS)
    assert killer.explanation == "killed its worker twice"
    for folder in (f"{ID}2", f"{ID}3"):
        assert (project.folder / "runs/latest" / folder / "begun").exists()
        assert (project.folder / "runs/latest" / f"{folder}.killed" / "begun").exists()

    tests = ET.parse(project.folder / "junit.xml").findall(".//testcase")  # noqa: S314 - we had it written
    assert Counter(test.get("name") for test in tests) == {
        **{f"test_case[{ID}{replicate}]": 1 for replicate in (1, 2, 3, 4)},
        "test_other": 1,
    }
    assert any("killed its worker twice" in (error.text or "") for test in tests for error in test.findall("error"))


def test_a_crash_is_an_error_at_once_if_no_worker_may_restart(project: Project) -> None:
    done = project.pytest("--suite", "crashes", "-n", "1", "--max-worker-restart", "0", "-k", "r2")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert project.records[f"{ID}2"].outcome == "error"
    assert "no more workers are started" in project.records[f"{ID}2"].explanation


def test_the_record_of_a_crash_is_that_of_the_session_that_crashed(project: Project) -> None:
    project.write("test_sharing.py", SHARING)
    done = project.pytest("--suite", "crashes", "-n", "1", "test_sharing.py", "-k", "r1")
    case = f"{ID}1"
    assert "3 errors, 2 rerun" in done.stdout
    kept = read(project.folder / "runs/latest/results.jsonl")
    assert {(record.session, record.try_number): record.artifacts for record in kept} == {
        (case, 1): case,
        (case, 2): f"{case}.3",
        (f"{case}.2", 1): None,
    }
    assert {record.session: record.explanation for record in kept if record.try_number == 1} == {
        case: "RuntimeError: the CLI is broken (test_sharing.py:11)",
        f"{case}.2": "killed its worker twice",
    }
