"""A run that is killed in the middle of a case: nothing lives on, and what was finished is kept."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.project import Project

QUICK = "turns:\n  - text: I hand in nothing.\n"
SLOW = """\
turns:
  - calls:
      - run: sleep 1000 & setsid sleep 1000 & sleep 1000
  - text: Never reached.
"""
MODEL = "name: {name}\nprovider: scripted\nscript: {name}\n"
SUITE = "name: killed\nbackends: [claude]\nmodels: [quick, slow]\nenvironments: [small_maze]\n"


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = 300.0) -> None:
    """Look again and again; the deadline only ends a hopeless wait."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"waited {deadline_s:g} s for {what}"
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["plain", "xdist"])
def test_sigkill_leaves_no_process_and_no_mount_and_readable_results(tmp_path: Path, workers: list[str]) -> None:
    project = Project(tmp_path)
    for name, script in (("quick", QUICK), ("slow", SLOW)):
        project.write(f"conf/model/{name}.yaml", MODEL.format(name=name))
        project.write(f"conf/scripts/{name}.yaml", script)
    project.write("conf/suite/killed.yaml", SUITE)
    with (tmp_path / "output.txt").open("wb") as output:
        pytest_process = subprocess.Popen(
            project.command("--suite", "killed", *workers),
            cwd=tmp_path,
            env=project.variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    root = psutil.Process(pytest_process.pid)

    def sleepers() -> list[psutil.Process]:
        return [child for child in root.children(recursive=True) if _name(child) == "sleep"]

    try:
        wait_until(lambda: len(sleepers()) >= 3, "the agent's own processes")
        family = root.children(recursive=True)
    finally:
        root.kill()
        pytest_process.wait()
    _gone, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert list(project.records) == ["claude-quick-small_maze"]
    assert project.records["claude-quick-small_maze"].outcome == "failed"


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""
