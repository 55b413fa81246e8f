"""Real runs are killed at random moments and resumed. The union equals a run that was not killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from harness.results.record import Record
from harness.results.run_folder import LATEST
from harness.results.runs import read_run
from harness.results.store import read
from tests.support.plain_records import plain
from tests.support.project import Project

KILLS = 10
SEED = 10
SUITE = "name: many\nbackends: [claude]\nmodels: [scripted, idle]\nenvironments: [small_maze]\nreplicates: 3\n"
IDLE = "turns:\n  - text: I hand in nothing.\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("conf/suite/many.yaml", SUITE)
    made.write("conf/model/idle.yaml", "name: idle\nprovider: scripted\nscript: idle\n")
    made.write("conf/scripts/idle.yaml", IDLE)
    made.write("conf/config.yaml", "evaluation: {episodes: 3}\n")
    return made


def latest(project: Project) -> dict[str, Record]:
    lines = read(project.folder / "runs" / LATEST / "results.jsonl")
    assert len({record.session for record in lines}) == len(lines)
    return {record.session: record for record in lines}


class Killer:
    """Runs pytest with two workers, and kills it at random moments.

    `needed` is how many seconds a whole run takes at most. `kills` counts the runs that were still running.
    """

    def __init__(self, project: Project, needed: float) -> None:
        self._project = project
        self._drawn = random.Random(SEED)  # noqa: S311 - it decides when to kill, and nothing secret
        self.needed = needed
        self.kills = 0

    def tosses(self) -> bool:
        """Return whether to kill, half of the times."""
        return self._drawn.random() < 0.5

    def run(self, *arguments: str) -> bool:
        """Kill all of a run's process group at some moment. Return whether it was still running."""
        seconds = self._drawn.uniform(0.1, 1.0) * self.needed
        with (self._project.folder / "output.txt").open("ab") as output:
            process = subprocess.Popen(
                self._project.command(*arguments, "-n", "2"),
                cwd=self._project.folder,
                env=self._project.variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        leader = psutil.Process(process.pid)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            family = [leader, *leader.children(recursive=True)]
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            psutil.wait_procs(family, timeout=60)
            self.kills += 1
            return True
        if "--resume" not in arguments:  # what is left of a run may take no time
            self.needed = seconds
        return False


@pytest.mark.nightly
def test_a_run_that_is_killed_at_random_moments_and_resumed_equals_an_unbroken_one(project: Project) -> None:
    began = time.monotonic()
    whole = project.pytest("--suite", "many", "-n", "2")
    killer = Killer(project, time.monotonic() - began)
    assert whole.returncode == pytest.ExitCode.TESTS_FAILED, whole.stdout
    unbroken = {session: plain(record) for session, record in latest(project).items()}
    assert len(unbroken) == 6
    while killer.kills < KILLS:
        before, kills = newest(project), killer.kills
        killer.run("--suite", "many")
        if newest(project) == before:  # it was killed before it began a run
            killer.kills = kills
            continue
        finish(project, killer)
        assert {session: plain(record) for session, record in latest(project).items()} == unbroken
        assert project.pytest("--resume", "latest").stdout.count("nothing to resume") == 2, "in the header and below"


def newest(project: Project) -> Path:
    return (project.folder / "runs" / LATEST).resolve()


def finish(project: Project, killer: Killer) -> None:
    """Resume the newest run until it ends by itself. Half of the times, kill it again."""
    again = True
    while again:
        folder = newest(project)
        before = {record.session: record for record in read_run(folder)[1] if record.outcome != "error"}
        again = killer.tosses() and killer.run("--resume", "latest")
        if not again:
            done = project.pytest("--resume", "latest", "-n", "2")
            assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
        after = {record.session: record for record in read_run(folder)[1]}
        assert {session: after[session] for session in before} == before, "none is lost, and none runs again"
