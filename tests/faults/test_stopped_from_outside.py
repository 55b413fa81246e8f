"""Something outside Proctor ends a case: pytest-timeout, or Ctrl-C in a teardown. No usage and no record is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from harness.endings import Ending
from harness.results.record import Record
from harness.results.runs import read_run
from tests.support.project import Project

pytestmark = pytest.mark.nightly  # each test waits for processes to be killed

SLOW = "claude-slow-small_maze"

TIMEOUT = '''\
"""Ends a test on SIGALRM as pytest-timeout 2.4 does, by its methods `signal` and `thread`."""

import os
import signal

import pytest


def pytest_configure():
    signal.signal(signal.SIGALRM, BY)


def by_signal(signum, frame):
    __tracebackhide__ = True
    pytest.fail("Timeout (>2.5s) from pytest-timeout.")


def by_thread(signum, frame):
    os._exit(1)
'''


def timed_out(project: Project, method: str) -> str:
    """Let a timeout end a case whose agent sleeps. Return the output of the session."""
    project.write("timeout_plugin.py", f"{TIMEOUT}\n\nBY = by_{method}\n")
    with project.stuck("-p", "timeout_plugin") as run:
        os.kill(run.process.pid, signal.SIGALRM)
        assert run.process.wait(300) == pytest.ExitCode.TESTS_FAILED, run.output.read_text()
    return run.output.read_text()


def stopped(project: Project) -> Record:
    _folder, records = read_run(project.folder / "runs/latest")
    [record] = [record for record in records if record.case.id == SLOW]
    assert record.usage.metered is not None
    assert (record.usage.metered.turns, record.usage.metered.requests) == (1, 1)
    assert (record.ending, record.outcome, record.score) == (Ending.INTERRUPTED, "error", None)
    return record


def test_pytest_timeout_by_signal_leaves_a_record_that_names_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    output = timed_out(project, "signal")
    record = stopped(project)
    assert record.explanation == "stopped by pytest-timeout after 2.5 s"
    assert [attempt.ending for attempt in record.attempts] == [Ending.INTERRUPTED]
    assert "interrupted: stopped by pytest-timeout after 2.5 s" in output
    assert SLOW in project.records


def test_pytest_timeout_by_thread_kills_the_process_and_leaves_a_draft(tmp_path: Path) -> None:
    project = Project(tmp_path)
    timed_out(project, "thread")
    assert stopped(project).explanation == "its process was killed in the agent's session"
    assert SLOW not in project.records


HANGS = """\
import os
import signal
import time

import pytest

from harness.stash import BUILDER


@pytest.fixture
def submission(request):
    request.node.stash[BUILDER].folder.path.mkdir(parents=True)
    yield
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(1000)


def test_case(case, submission):
    pass
"""


def test_a_finished_case_is_recorded_if_ctrl_c_ends_its_teardown(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("test_hangs.py", HANGS)
    done = project.pytest("-n", "1", "--suite", "smoke", "--backend", "claude", "test_hangs.py")
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout
    assert [record.outcome for record in project.records.values()] == ["passed"]
    assert "records: " in done.stdout
