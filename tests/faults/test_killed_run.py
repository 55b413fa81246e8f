"""A run is killed in the middle of a case: no process survives, and finished results are kept."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

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
