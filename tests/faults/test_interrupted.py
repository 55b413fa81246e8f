"""Ctrl-C in the middle of a case: the session ends cleanly, its record is written, pytest exits as it does."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from harness.case import Cause, Ending
from tests.faults.test_killed_run import MODEL, QUICK, SLOW, wait_until
from tests.project import Project

SUITE = "name: stopped\nbackends: [claude]\nmodels: [quick, slow]\nenvironments: [small_maze]\n"


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["plain", "xdist"])
def test_ctrl_c_ends_the_session_and_writes_its_record(tmp_path: Path, workers: list[str]) -> None:
    project = Project(tmp_path)
    for name, script in (("quick", QUICK), ("slow", SLOW)):
        project.write(f"conf/model/{name}.yaml", MODEL.format(name=name))
        project.write(f"conf/scripts/{name}.yaml", script)
    project.write("conf/suite/stopped.yaml", SUITE)
    output = tmp_path / "output.txt"
    with output.open("wb") as file, _heeding_ctrl_c():
        process = subprocess.Popen(
            project.command("--suite", "stopped", *workers),
            cwd=tmp_path,
            env=project.variables,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    root = psutil.Process(process.pid)
    try:
        wait_until(lambda: len(_sleepers(root)) >= 3, "the agent's own processes")
        family = root.children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everyone in the foreground
        assert process.wait(300) == pytest.ExitCode.INTERRUPTED, output.read_text()
    finally:
        process.kill()
        process.wait()
    _gone, alive = psutil.wait_procs(family, timeout=60)
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
    assert "interrupted: interrupted by the user" in output.read_text()


@contextmanager
def _heeding_ctrl_c() -> Iterator[None]:
    """A job in the background has SIGINT ignored, and so would what it starts: take it back for what starts here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _sleepers(root: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in root.children(recursive=True):
        try:
            if child.name() == "sleep":
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found
