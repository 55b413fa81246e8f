"""Which tests share a session of a case's agent, and what the run then records of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.endings import Ending
from harness.results.record import Record
from harness.results.store import read
from tests.support.own_project import OwnProject

ID = "lean-scripted-door"
POLICY = """\
class GeneratedApproach:
    def __init__(self, action_space, observation_space, primitives=None):
        pass

    def reset(self, state, info):
        pass

    def get_action(self, state):
        return "walk" if state < 3 else "open"
"""


@pytest.fixture
def project(tmp_path: Path) -> OwnProject:
    return OwnProject(tmp_path)


def records(project: OwnProject) -> list[Record]:
    return read(project.folder / "runs/latest/results.jsonl")


SEVERAL = """\
import pytest

def test_handed_in(submission):
    assert submission.reason is None

@pytest.mark.parametrize("most", [1, 2])
def test_quick(score, most):
    assert score.mean_steps < most, f"more than {most}"

def test_solved(score):
    assert score.solve_rate == 1.0
"""


@pytest.mark.parametrize("workers", [[], ["-n", "2", "--dist", "loadgroup"]], ids=["plain", "loadgroup"])
def test_the_tests_of_a_case_share_one_session_and_its_record_has_the_worst_outcome(
    project: OwnProject, workers: list[str]
) -> None:
    project.write("test_several.py", SEVERAL)
    done = project.pytest("test_several.py", "--suite", "mine", *workers)
    assert "2 failed, 2 passed" in done.stdout
    assert [path.name for path in (project.folder / "runs/latest").glob(f"{ID}*")] == [ID]
    [_line] = (project.folder / "runs/latest/results.jsonl").read_text().splitlines()
    [record] = records(project)
    assert (record.session, record.try_number, len(record.attempts)) == (ID, 1, 1)
    assert (record.outcome, record.ending) == ("failed", Ending.FINISHED)
    assert record.explanation == "AssertionError: more than 1; AssertionError: more than 2"
    assert record.score is not None
    assert record.score.solve_rate == 1.0
    timing = record.timing
    assert timing.total_s > timing.agent_s + timing.evaluation_s + timing.server_s  # type: ignore[operator]
    assert timing.waited_s == 0.0


BROKEN = """\
import os
import pytest

@pytest.fixture
def cli():
    with open("begun.txt", "a") as file:
        file.write("x")
    raise RuntimeError("the CLI is broken")

@pytest.mark.parametrize("number", [1, 2, 3])
def test_shared(submission, number): pass

def test_score(score): pass

@pytest.mark.fresh_session
def test_fresh(score): pass
"""


@pytest.mark.parametrize(
    ("options", "sessions"),
    [
        ([], [ID, f"{ID}.2"]),
        (["-n", "2"], [ID, f"{ID}.2"]),
        pytest.param(["-n", "2", "--dist", "loadfile"], [ID, f"{ID}.2"], marks=pytest.mark.nightly),  # as `load`
        (["-n", "2", "--dist", "worksteal"], [ID, *(f"{ID}.{number}" for number in range(2, 6))]),
    ],
    ids=["plain", "load", "loadfile", "worksteal"],
)
def test_the_error_of_a_session_is_that_of_all_its_tests_and_it_is_not_run_again(
    project: OwnProject, options: list[str], sessions: list[str]
) -> None:
    project.write("test_broken.py", BROKEN)
    done = project.pytest("test_broken.py", "--suite", "mine", *options)
    assert "5 errors" in done.stdout
    assert len((project.folder / "begun.txt").read_text()) == len(sessions)
    assert sorted(record.session for record in records(project)) == sessions
    for record in records(project):
        assert (record.outcome, record.ending) == ("error", Ending.HARNESS_ERROR)
        assert "RuntimeError: the CLI is broken (test_broken.py:8)" in record.explanation


VARIED = """\
import pytest

@pytest.fixture
def cli(size):
    raise RuntimeError(f"size {size}")

@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("number", [1, 2])
def test_varied(submission, size, number): pass
"""


def test_tests_share_a_session_only_if_it_is_made_of_the_same_fixtures_and_parameters(project: OwnProject) -> None:
    project.write("test_varied.py", VARIED)
    project.write("test_usual.py", BROKEN.replace("def cli", "def gateway").replace("the CLI", "the gateway"))
    done = project.pytest("test_varied.py", "test_usual.py", "--suite", "mine")
    assert "9 errors" in done.stdout
    said = [(record.session, record.explanation.partition(" (")[0]) for record in records(project)]
    assert said == [
        (ID, "RuntimeError: size 1"),
        (f"{ID}.2", "RuntimeError: size 2"),
        (f"{ID}.3", "RuntimeError: the gateway is broken"),
        (f"{ID}.4", "RuntimeError: the gateway is broken"),
    ]


GIVEN = """\
import pytest
from pathlib import Path

@pytest.fixture
def submission(case):
    return Path(__file__).parent / "given"

def test_given(score):
    assert score.solve_rate == 1.0

class TestWrong:
    @pytest.fixture
    def submission(self):
        return 7

    def test_wrong(self, score): pass
"""


def test_a_folder_of_the_project_is_graded_without_an_agent(project: OwnProject) -> None:
    project.write("test_given.py", GIVEN)
    project.write("given/approach.py", POLICY)
    done = project.pytest("test_given.py", "--suite", "mine")
    assert "1 passed, 1 error" in done.stdout
    assert "the fixture `submission` must give a folder, or what Proctor's own fixture gives, and not 7" in done.stdout
    given, wrong = records(project)
    assert (given.outcome, given.ending, given.attempts) == ("passed", Ending.FINISHED, [])
    assert given.explanation == f"no agent ran: the fixture `submission` gave {project.folder}/given"
    assert given.submission is not None
    assert given.submission["files"] == ["approach.py"]
    assert (project.folder / "runs/latest" / ID / "submission/approach.py").read_text() == POLICY
    assert (wrong.session, wrong.outcome) == (f"{ID}.2", "error")


RERUN = '''\
"""Runs a failed test again as pytest-rerunfailures 16 does (`pytest_runtest_protocol`). `flaky` keeps reports back."""

import os
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl
def pytest_runtest_protocol(item, nextitem):
    for last in (False, False, True):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = [report for report in reports if report.failed]
        for report in reports:
            if failed and not last:
                if "FLAKY" in os.environ:
                    continue
                report.outcome = "rerun" if report in failed else report.outcome
            item.ihook.pytest_runtest_logreport(report=report)
        if not failed:
            break
        item._initrequest()
    return True

@pytest.fixture
def submission(case):
    return Path(__file__).parent / "given"
'''
AT_LAST = """\
from pathlib import Path

def test_at_last(score):
    tries = len(list(Path("runs/latest").glob("lean*")))
    assert tries == 3, f"try {tries}"
"""


@pytest.mark.parametrize("flaky", [False, True], ids=["rerunfailures", "flaky"])
def test_each_try_of_a_test_that_is_rerun_has_its_own_folder_and_record(
    project: OwnProject, monkeypatch: pytest.MonkeyPatch, flaky: bool
) -> None:
    if flaky:
        monkeypatch.setenv("FLAKY", "1")
    project.write("conftest.py", (project.folder / "conftest.py").read_text() + RERUN)
    project.write("test_at_last.py", AT_LAST)
    project.write("given/approach.py", POLICY)
    done = project.pytest("test_at_last.py", "--suite", "mine")
    assert "1 passed" in done.stdout
    tries = sorted(records(project), key=lambda record: record.try_number)
    assert [(r.session, r.try_number, r.artifacts, r.outcome) for r in tries] == [
        (ID, 1, ID, "failed"),
        (ID, 2, f"{ID}.2", "failed"),
        (ID, 3, f"{ID}.3", "passed"),
    ]
    assert [record.explanation for record in tries[:2]] == ["AssertionError: try 1", "AssertionError: try 2"]
    for record in tries:
        assert (project.folder / "runs/latest" / str(record.artifacts) / "episodes.jsonl").read_text().count("\n") == 3
    assert Counter(line.partition("  ")[0] for line in done.stdout.splitlines() if line.startswith(ID)) == {
        ID: 1,
        f"{ID} (try 2)": 1,
        f"{ID} (try 3)": 1,
    }
