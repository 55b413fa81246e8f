"""Ctrl-C or SIGTERM in the middle of a case: the session ends cleanly, its record is written, and pytest exits."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.endings import Cause, Ending
from tests.support.project import Project, wait_until

Kill = Callable[[int, int], None]

BY_USER, BY_SIGTERM = "interrupted by the user", "interrupted by SIGTERM"


@pytest.mark.parametrize(
    ("workers", "kill", "number", "status", "why", "ctrl_c"),
    [
        ([], os.killpg, signal.SIGINT, pytest.ExitCode.INTERRUPTED, BY_USER, signal.default_int_handler),
        (["-n", "1"], os.killpg, signal.SIGINT, pytest.ExitCode.INTERRUPTED, BY_USER, signal.default_int_handler),
        ([], os.kill, signal.SIGTERM, 143, BY_SIGTERM, signal.default_int_handler),
        pytest.param(
            *(["-n", "2"], os.killpg, signal.SIGTERM, 143, BY_SIGTERM, signal.default_int_handler),
            marks=pytest.mark.nightly,  # as the next one, with two workers and a signal for them, too
        ),
        (["-n", "1"], os.kill, signal.SIGTERM, 143, BY_SIGTERM, signal.SIG_IGN),
    ],
    ids=["Ctrl-C", "Ctrl-C, worker", "SIGTERM", "SIGTERM, job", "SIGTERM, controller in the background"],
)
def test_a_signal_ends_the_session_and_writes_its_record(
    tmp_path: Path, workers: list[str], kill: Kill, number: signal.Signals, status: int, why: str, ctrl_c: Any
) -> None:
    project = Project(tmp_path)
    with _inherited(ctrl_c), project.stuck(*workers) as run:
        kill(run.process.pid, number)  # to all foreground processes, as a terminal does, or to the main process alone
        assert run.process.wait(300) == status, run.output.read_text()
    _gone, alive = psutil.wait_procs(run.family, timeout=60)
    assert alive == []
    records = project.records
    quick = records.pop("claude-quick-small_maze").ending
    assert quick is Ending.FINISHED or "2" in workers, "beside another worker, it may still have been running"
    assert list(records) == ["claude-slow-small_maze"]
    stopped = records["claude-slow-small_maze"]
    assert (stopped.ending, stopped.outcome, stopped.cause) == (Ending.INTERRUPTED, "error", Cause.HARNESS)
    assert stopped.score is None
    assert stopped.usage.metered is not None
    assert stopped.usage.metered.turns == 1
    assert [attempt.ending for attempt in stopped.attempts] == [Ending.INTERRUPTED]
    assert stopped.attempts[0].term_s > 0
    assert "workspace/token is withheld: it holds a GitHub token" in stopped.warnings
    assert (project.folder / "runs/latest" / str(stopped.artifacts) / "result.json").is_file()
    output = run.output.read_text()
    assert f"interrupted: {why}" in output
    assert "records: " in output


@contextmanager
def _inherited(handler: Any) -> Iterator[None]:
    """Set what the processes that are started do at SIGINT. In a background job, they ignore it."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.nightly
@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["plain", "worker"])
def test_a_second_sigterm_cuts_the_grace_period_short(tmp_path: Path, workers: list[str]) -> None:
    project = Project(tmp_path)
    with project.stuck(*workers, "--set", "limits.grace_s=1000") as run:
        (cli,) = [process for process in run.family if process.name() == "claude"]
        cli.suspend()  # so that it cannot heed the first one
        wait_until(lambda: cli.status() == psutil.STATUS_STOPPED, "the CLI to stop", 20)
        run.process.terminate()
        wait_until(lambda: "SIGTERM" in _pending(cli), "the CLI's SIGTERM", 20)
        run.process.terminate()
        assert run.process.wait(300) == 143, run.output.read_text()
    stopped = project.records["claude-slow-small_maze"]
    assert (stopped.ending, stopped.explanation) == (Ending.INTERRUPTED, BY_SIGTERM)
    assert stopped.attempts[0].seconds < 300


def _pending(process: psutil.Process) -> set[str]:
    """Return the names of the signals that wait for a process."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    return {number.name for number in signal.Signals for mask in masks if mask >> (number - 1) & 1}
