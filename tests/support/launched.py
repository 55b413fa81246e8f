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
SLOW = "turns:\n  - calls:\n      - run: sleep 12\n  - text: I hand in nothing.\n"
SLOW_SUITE = SUITE.replace("parts", "slow").replace("scripted", "slow").replace(str(CASES), "24")
STRUCK_SUITE = SUITE.replace("parts", "struck").replace("[claude]", "[claude, reference]").replace(str(CASES), "4")
HUNG_S = 400.0
_POLL_S = 0.2


class LaunchedProject:
    """A project in `folder`. `variables` are added to the environment of `proctor launch`."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        folder.mkdir()
        self.project = Project(folder)
        self.project.write("conf/suite/parts.yaml", SUITE)
        self.project.write("conf/config.yaml", CONFIG)
        self.project.write("conf/suite/slow.yaml", SLOW_SUITE)
        self.project.write("conf/suite/struck.yaml", STRUCK_SUITE)
        self.project.write("conf/scripts/slow.yaml", SLOW)
        self.project.write("conf/model/slow.yaml", "name: slow\nprovider: scripted\nscript: slow\n")
        self.folder, self.runs, self._variables = folder, folder / "runs", variables
        self.output = folder / "output.txt"

        self._unbroken: dict[str, dict[str, object]] = {}

    def unbroken_of(self, suite: str) -> dict[str, object]:
        """Return what the sessions of a run by pytest alone come to."""
        if suite not in self._unbroken:
            runs = self.folder / f"whole-{suite}"
            done = self.project.pytest("--suite", suite, "--runs-dir", str(runs), "-n", "2")
            assert done.returncode == 0, done.stdout
            self._unbroken[suite] = {one.session: result(one) for one in read(runs / LATEST / RESULTS)}
        return self._unbroken[suite]

    @cached_property
    def unstruck_s(self) -> float:
        """How many seconds a launched run of the suite `struck` takes if nothing strikes it."""
        began = time.monotonic()
        board = self.launch("slurm", "--time", "10m", suite="struck", workers="0")
        assert self.end(board) == 0, self.output.read_text()
        return time.monotonic() - began

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

    def launch(
        self, cluster: str, *arguments: str, suite: str = "parts", workers: str = "1"
    ) -> subprocess.Popen[bytes]:
        """Start a new launched run in four parts, and return when its jobs are submitted."""
        before = self._latest()
        started = self.start("--suite", suite, "--cluster", cluster, "--nodes", str(PARTS), "-n", workers, *arguments)
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

    @property
    def finished(self) -> dict[str, Record]:
        """The finished cases of all parts, by session."""
        return {name: one for index in range(1, PARTS + 1) for name, one in self.part_records(index).items()}

    def told(self) -> str:
        """Return what the launched run and its parts printed last, to explain a fault."""
        outputs = [self.output, *(self.run.part(index).output for index in range(1, PARTS + 1))]
        words = [one.read_text(errors="replace")[-1500:] for one in outputs if one.exists()]
        return "\n----\n".join([*words, *map(str, self.statuses.values())])

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

    def wait(self, until: Callable[[], bool], process: subprocess.Popen[bytes], *, or_ended: bool = False) -> None:
        """Wait until something holds, while the process runs. It may end before only with `or_ended`."""
        deadline = time.monotonic() + HUNG_S
        while not until():
            if process.poll() is not None and or_ended:
                return
            assert process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(_POLL_S)

    def job_of(self, index: int) -> str:
        """Return the id of the job that works on a part."""
        return self.statuses[index].holder.partition(".")[0]

    def end(self, process: subprocess.Popen[bytes], meanwhile: Callable[[], None] = lambda: None) -> int:
        """Wait for the end of `proctor launch`. Return its exit status. `meanwhile` is called every second."""
        deadline = time.monotonic() + HUNG_S
        try:
            while time.monotonic() < deadline:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(1.0)
                meanwhile()
            raise AssertionError(f"proctor launch hangs: {self.output.read_text()}")
        finally:
            process.kill()

    def differing(self, suite: str = "parts") -> list[str]:
        """Return the sessions whose merged records are not those of the unbroken run."""
        now, whole = {name: result(one) for name, one in self.records.items()}, self.unbroken_of(suite)
        return sorted(name for name in {*now, *whole} if now.get(name) != whole.get(name))
