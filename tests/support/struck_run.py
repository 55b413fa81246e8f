"""Runs that faults strike: a project, what its runs have recorded, and whether a resumed run completes them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from msgspec import Struct, to_builtins

from harness.case_folder import CaseFolder
from harness.results.durable import flush_names
from harness.results.record import Record
from harness.results.run_folder import LATEST, RESULTS
from harness.results.store import read
from tests.support.leftovers import Leftovers
from tests.support.project import Project

SUITE = "name: struck\nbackends: [claude]\nmodels: [scripted]\nenvironments: [small_maze]\nreplicates: 2\n"
CONFIG = "evaluation: {episodes: 3}\nlimits: {idle_s: 20, first_byte_s: 20, stalled_s: 10, retry_s: 0.1}\n"
HUNG_S = 240.0
"""A run that takes longer than this hangs."""
_POLL_S = 0.02
_NOTE_S = 0.3
_COMPLETE = {int(pytest.ExitCode.OK), int(pytest.ExitCode.TESTS_FAILED)}


class Unbroken(Struct, frozen=True):
    """A run that nothing has struck: its records by session, and how many seconds it took."""

    records: dict[str, Record]
    seconds: float


class StruckProject:
    """A project in `folder` whose runs are struck, one draw after the other.

    `arguments` are those of each run that begins, `options` also those of a resumed one. `variables` are added to the
    environment of all. `repair` undoes a fault of the machine. `written` has the records that were written so far and
    must not be lost, by session.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.runs, self.temporary = folder, folder / "runs", folder / "temporary"
        self.temporary.mkdir()
        self.project = Project(folder)
        self.project.write("conf/suite/struck.yaml", SUITE)
        self.project.write("conf/config.yaml", CONFIG)
        self.arguments: tuple[str, ...] = ("--suite", "struck")
        self.options: tuple[str, ...] = ("-n", "2")
        self.variables: Mapping[str, str] = {}
        self.repair: Callable[[], object] = lambda: None
        self.output = folder / "output.txt"
        self.begin()

    def begin(self) -> None:
        """Forget the last draw, and remove its runs for good: a disk that fails now must not bring them back."""
        self.runs.mkdir(exist_ok=True)
        for entry in self.runs.iterdir():
            entry.unlink() if entry.is_symlink() or entry.is_file() else shutil.rmtree(entry)
        flush_names(self.runs)
        self.output.write_bytes(b"")
        self.written: dict[str, Record] = {}
        self._notes = True
        self.left = Leftovers(self.folder, self.runs, self.temporary)

    def unbroken(self) -> Unbroken:
        """Run once without a fault."""
        self.begin()
        began = time.monotonic()
        done = self.finish(self.start())
        assert done in _COMPLETE, self.output.read_text()
        return Unbroken(self.records(), time.monotonic() - began)

    @property
    def begun(self) -> bool:
        """Whether there is a run to resume."""
        return (self.runs / LATEST).exists()

    def records(self) -> dict[str, Record]:
        """Return the records of the run."""
        file = self.runs / LATEST / RESULTS
        return {record.session: record for record in read(file)} if file.is_file() else {}

    def start(self) -> psutil.Popen:
        """Start pytest: a resumed run if one has begun, or else a new one. It leads its own process group."""
        arguments = ("--resume", LATEST) if self.begun else self.arguments
        own = {"TMPDIR": str(self.temporary), "PROCTOR_LEASES": str(self.folder / "leases")}
        with self.output.open("ab") as output:
            return psutil.Popen(
                self.project.command(*arguments, *self.options),
                cwd=self.folder,
                env={**self.project.variables, **own, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def watch(self, process: psutil.Popen, until: Callable[[], bool], seconds: float = HUNG_S) -> bool:
        """Wait until something holds, at most so many seconds. Return whether the run goes on then.

        Meanwhile remember what it writes and starts.
        """
        end, noted = time.monotonic() + seconds, 0.0
        while process.poll() is None:
            now = time.monotonic()
            if now - noted > _NOTE_S:
                noted = now
                self.left.note(process)
                self.note_written()
            if until():
                self.left.note(process, ports=True)
                return True
            if now > end:
                return True
            time.sleep(_POLL_S)
        return False

    def stop_noting(self) -> None:
        """Note what was written so far, and nothing later. From now on, the disk may lose what is written."""
        self.note_written()
        self._notes = False

    def note_written(self) -> None:
        """Remember the records that are safe: those for which the run has also written the readable file."""
        with suppress(OSError, ValueError):
            for session, record in self.records().items() if self._notes else ():
                folder = self.runs / LATEST / str(record.artifacts)
                if record.outcome != "error" and CaseFolder(folder).result.is_file():
                    self.written.setdefault(session, record)

    def finish(self, process: psutil.Popen) -> int | None:
        """Wait for the end of a run. Return its exit status, or `None` if it hangs. It is killed then."""
        self.watch(process, lambda: False)
        status = process.poll()
        if status is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return None if status is None else int(status)

    def complete(self, status: int | None) -> list[str]:
        """Resume a run that ended with this status, if it is not complete or has left something.

        Return what went wrong.
        """
        if status is not None and self._is_complete(status) and not self.left.found():
            return []
        resumed = self.finish(self.start())
        if resumed is None:
            return ["the resumed run hangs"]
        return [] if self._is_complete(resumed) else [f"the resumed run is not complete (status {resumed})"]

    def _is_complete(self, status: int) -> bool:
        done = self.records()
        return status in _COMPLETE and bool(done) and all(one.outcome != "error" for one in done.values())

    def mistimed(self, seconds: float) -> list[str]:
        """Return each time in the records that cannot be: below 0, or longer than the draw took."""
        return [
            f"{session}: {name} is {value}"
            for session, record in self.records().items()
            for part in (record.timing, *record.attempts)
            for name, value in to_builtins(part).items()
            if (name == "seconds" or name.endswith("_s")) and value is not None and not 0 <= value <= seconds
        ]

    def kill(self) -> None:
        """Kill what is left of the runs."""
        self.left.kill()

    def lost(self) -> list[str]:
        """Return each written record that is gone or has changed."""
        now = self.records()
        return [session for session, record in self.written.items() if now.get(session) != record]
