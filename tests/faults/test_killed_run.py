"""A run is killed in the middle of a case: no process survives, finished results are kept, and it can be resumed."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from harness.endings import Ending
from harness.results.record import CaseUsage
from harness.results.runs import read_run
from harness.results.usage import own_usage
from tests.support.project import Project


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["plain", "xdist"])
def test_sigkill_leaves_no_process_no_mount_and_readable_results(tmp_path: Path, workers: list[str]) -> None:
    project = Project(tmp_path)
    with project.stuck(*workers) as run:
        run.process.kill()
        killed = time.monotonic()
        _gone, alive = psutil.wait_procs(run.family, timeout=60)
    assert alive == []
    assert time.monotonic() - killed < 4, "a worker ends in a second; xdist alone lets it work for five"
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert list(project.records) == ["claude-quick-small_maze"]
    assert project.records["claude-quick-small_maze"].outcome == "failed"
    _folder, drafts_too = read_run(tmp_path / "runs/latest")
    [killed_one] = [record for record in drafts_too if record.case.id == "claude-slow-small_maze"]
    assert (killed_one.ending, killed_one.outcome) == (Ending.INTERRUPTED, "error")
    assert turns(killed_one.usage) == 1
    if workers:
        assert_resumable(project, *workers)


def assert_resumable(project: Project, *workers: str) -> None:
    """Resume the run until its slow case is stopped again. What the killed session used stays in the sums."""
    quick = project.records["claude-quick-small_maze"]
    with project.stuck("--resume", "latest", *workers) as run:
        run.process.terminate()
        assert run.process.wait(300) == 143
    assert project.records == {**project.records, quick.case.id: quick}
    slow = project.records["claude-slow-small_maze"]
    [earlier] = slow.earlier
    assert (earlier.ending, earlier.artifacts) == (Ending.INTERRUPTED, f"{slow.case.id}.earlier-1")
    assert (turns(earlier.usage), turns(own_usage(slow)), turns(slow.usage)) == (1, 1, 2)
    assert slow.artifacts == slow.case.id


def turns(usage: CaseUsage) -> int | None:
    return usage.metered.turns if usage.metered else None
