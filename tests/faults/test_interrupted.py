"""Ctrl-C in the middle of a case: the session ends cleanly, its record is written, and pytest exits as usual."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from harness.endings import Cause, Ending
from tests.support.project import Project


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["plain", "xdist"])
def test_ctrl_c_ends_the_session_and_writes_its_record(tmp_path: Path, workers: list[str]) -> None:
    project = Project(tmp_path)
    with _heeding_ctrl_c(), project.stuck(*workers) as run:
        os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does: to all foreground processes
        assert run.process.wait(300) == pytest.ExitCode.INTERRUPTED, run.output.read_text()
    _gone, alive = psutil.wait_procs(run.family, timeout=60)
    assert alive == []
    records = project.records
    assert {name: record.ending for name, record in records.items()} == {
        "claude-quick-small_maze": Ending.FINISHED,
        "claude-slow-small_maze": Ending.INTERRUPTED,
    }
    stopped = records["claude-slow-small_maze"]
    assert (stopped.outcome, stopped.cause, stopped.score) == ("error", Cause.HARNESS, None)
    assert stopped.usage.metered is not None
    assert stopped.usage.metered.turns == 1
    assert [attempt.ending for attempt in stopped.attempts] == [Ending.INTERRUPTED]
    assert stopped.attempts[0].term_s > 0
    assert (project.folder / "runs/latest" / str(stopped.artifacts) / "result.json").is_file()
    assert "interrupted: interrupted by the user" in run.output.read_text()


@contextmanager
def _heeding_ctrl_c() -> Iterator[None]:
    """Restore SIGINT. A background job ignores it, and the processes that it starts would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
