"""A project whose suite is launched in parts, and what its launched runs leave."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from harness.launch.files import LaunchFolder, PartStatus
from harness.results.record import Record
from harness.results.run_folder import LATEST, RESULTS
from harness.results.store import read, unrecorded
from tests.support.plain_records import result
from tests.support.project import Project

CASES = 8
PARTS = 4
SUITE = f"name: parts\nbackends: [claude]\nmodels: [scripted]\nenvironments: [small_maze]\nreplicates: {CASES}\n"
CONFIG = "evaluation: {episodes: 2, wall_s: 15}\nlimits: {wall_s: 30, idle_s: 20, grace_s: 1}\n"
HUNG_S = 400.0
_POLL_S = 0.2


class LaunchedProject:
    """A project in `folder`. `variables` are added to the environment of `proctor launch`."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        folder.mkdir()
        self.project = Project(folder)
        self.project.write("conf/suite/parts.yaml", SUITE)
        self.project.write("conf/config.yaml", CONFIG)
        self.folder, self.runs, self._variables = folder, folder / "runs", variables
        self.output = folder / "output.txt"

    @cached_property
    def unbroken(self) -> dict[str, object]:
        """What the sessions of a run by pytest alone come to."""
        done = self.project.pytest("--suite", "parts", "--runs-dir", str(self.folder / "whole"), "-n", "2")
        assert done.returncode == 0, done.stdout
        return {one.session: result(one) for one in read(self.folder / "whole" / LATEST / RESULTS)}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `proctor launch` with these arguments."""
        with self.output.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "harness", "launch", *arguments],
                cwd=self.folder,
                env={**self.project.variables, **self._variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def launch(self, cluster: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a new launched run in four parts, and return when its jobs are submitted."""
        before = self._latest()
        started = self.start("--suite", "parts", "--cluster", cluster, "--nodes", str(PARTS), "-n", "1", *arguments)
        self.wait(lambda: self._latest() not in {before, None} and self.run.jobs_file.exists(), started)
        return started

    def _latest(self) -> Path | None:
        link = self.runs / LATEST
        return link.resolve() if link.exists() else None

    @property
    def run(self) -> LaunchFolder:
        """The newest launched run."""
        return LaunchFolder((self.runs / LATEST).resolve())

    @property
    def statuses(self) -> dict[int, PartStatus]:
        """What each part that has begun says about itself."""
        found = {index: self.run.part(index).status() for index in range(1, PARTS + 1)}
        return {index: status for index, status in found.items() if status is not None}

    def finished(self) -> int:
        """Return how many cases have a result in the runs of the parts."""
        return sum(len(self.part_records(index)) for index in range(1, PARTS + 1))

    def part_records(self, index: int) -> dict[str, Record]:
        """Return the finished cases of a part, by session."""
        run = self.run.part(index).run
        with suppress(OSError, ValueError):
            if run is not None:
                return {one.session: one for one in read(run / RESULTS) if one.outcome != "error"}
        return {}

    @property
    def records(self) -> dict[str, Record]:
        """The records of the merged run, by session."""
        return {one.session: one for one in read(self.run.path / RESULTS)}

    @property
    def missing(self) -> list[str]:
        """The cases of the merged run that have no record."""
        return unrecorded(self.run.path, self.records.values())

    def wait(self, until: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        """Wait until something holds, while the process runs."""
        deadline = time.monotonic() + HUNG_S
        while not until():
            assert process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(_POLL_S)

    def end(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of `proctor launch`. Return its exit status."""
        try:
            return process.wait(HUNG_S)
        finally:
            process.kill()

    def differing(self) -> list[str]:
        """Return the sessions whose merged records are not those of the unbroken run."""
        now = {name: result(one) for name, one in self.records.items()}
        return sorted(name for name in {*now, *self.unbroken} if now.get(name) != self.unbroken.get(name))
