"""Runs a part of a launched run: the program of each job.

It starts pytest on the part, or goes on with the part's run if an earlier job began it. Meanwhile it writes down how
far the part is. When the job's time is nearly over, it ends the session and has the job run again. A job that was
preempted, or whose node died, is run again by Slurm, and goes on in the same way.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Literal, NoReturn

import msgspec
import psutil

from harness.endings import Ending
from harness.launch.asking import session_command
from harness.launch.files import LaunchFolder, LaunchPlan, PartState, PartStatus
from harness.launch.job import free_run, holder_of_job, requeue, seconds_left, variables_of_job
from harness.launch.locks import locking
from harness.launch.merging import try_to_merge
from harness.launch.outcome import Next, SessionEnd, after
from harness.launch.tally import Tally
from harness.part_orders import VARIABLE, Orders
from harness.private import private_folder
from harness.results.begun import read_begun
from harness.results.durable import write_durably
from harness.results.progress import unfinished
from harness.results.run_folder import RESULTS
from harness.results.store import read
from harness.visible import visible

_POLL_S = 0.5
_SAY_S = 5.0
_TAIL = 4000


def run_part(folder: str, index: int) -> None:
    """Run a part to its end, or until its job ends. submitit calls this in each job. Exit with 1 if cases are left."""
    runner = PartRunner(LaunchFolder(Path(folder)), index)
    ended = runner.run()
    if ended.state == "continues":
        requeue(runner.launch.cluster)
    if ended.state != "done":
        sys.exit(1)


class PartRunner:
    """Works on a part in one job. Making one installs the handlers of the signals by which the cluster ends a job."""

    def __init__(self, folder: LaunchFolder, index: int) -> None:
        self.launch: LaunchPlan = folder.read()
        self._folder, self._index = folder, index
        self._files = folder.part(index)
        private_folder(self._files.path)
        self._before = self._files.status()
        self._holder = holder_of_job()
        self._began, self._said_at = time.monotonic(), 0.0
        self._tally = Tally()
        self._session: subprocess.Popen[bytes] | None = None
        self._told: Literal["time", "stop", "cancel"] | None = None
        signal.signal(signal.SIGUSR2, self._on_time)
        signal.signal(signal.SIGTERM, self._on_stop)

    def run(self) -> Next:
        """Run sessions until the part is done, or this job must end. Return how it ended."""
        self._tally.read(self._files.run)
        began_with = finished = self._finished
        if (refused := self._refused()) is not None:
            self._say("failed", refused)
            return Next("failed", refused)
        self._write_orders()
        crashes = 0
        while True:
            self._say("running")
            status = self._run_session()
            self._tally.read(self._files.run)
            crashes = crashes + 1 if self._finished == finished else 0
            finished = self._finished
            idle = 0 if finished > began_with else self._idle_before + (self._told in {None, "time"})
            found = after(self._ended(status, idle=idle, crashes=crashes))
            if found.state != "again":
                break
        self._say(found.state, found.why, idle=idle)
        try_to_merge(self._folder)
        return found

    @property
    def _finished(self) -> int:
        return sum(self._tally.outcomes.values())

    @property
    def _idle_before(self) -> int:
        return 0 if self._before is None else self._before.idle

    def _refused(self) -> str | None:
        """Return why this node cannot work on the part, or `None`: it must keep the locks of a shared budget."""
        if self.launch.sharing != "shared" or self.launch.cluster == "local" or len(self.launch.parts) == 1:
            return None
        try:
            found = locking(self._folder.path, machines=len(self.launch.parts))
        except OSError as error:
            return f"{socket.gethostname()} cannot lock the budgets that all parts share: {error}"
        return None if found.holds else f"{socket.gethostname()} would not keep the budgets of all parts: {found.why}"

    def _write_orders(self) -> None:
        left_s = seconds_left(self.launch)
        reserved_s = self.launch.resources.reserved_s
        shared, divided = self.launch.sharing == "shared", self.launch.sharing == "divided"
        orders = Orders(
            cases=self.launch.parts[self._index - 1].cases,
            launch=str(self._folder.path),
            history=self.launch.runs,
            ends_at=None if left_s is None else time.time() + left_s - reserved_s,
            budgets=str(self._folder.budgets if shared else self._files.budgets),
            shares=len(self.launch.parts) if divided else 1,
        )
        write_durably(self._files.orders, [msgspec.json.format(msgspec.json.encode(orders)), b"\n"])

    def _run_session(self) -> int:
        """Run pytest, and write down how far the part is. Return the exit status."""
        run = self._files.run
        self._files.too_late.unlink(missing_ok=True)
        if run is not None:
            free_run(run)
        with self._files.output.open("ab") as output:
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
            try:  # Slurm sends the signal to all processes of a job, and most would end at once: they inherit the mask
                self._session = subprocess.Popen(
                    session_command(self.launch, self._files, resume=run is not None),
                    cwd=self.launch.root,
                    env=os.environ | variables_of_job(self.launch.cluster) | {VARIABLE: str(self._files.orders)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if self._told is not None:  # the signal came before there was a session
            self._session.terminate()
        while self._session.poll() is None:
            time.sleep(_POLL_S)
            if self._folder.cancelled and self._told is None:
                self._told = "cancel"
                self._session.terminate()
            self._tally.read(self._files.run)
            self._say("running")
        return self._session.returncode

    def _ended(self, status: int, *, idle: int, crashes: int) -> SessionEnd:
        """Return how the session ended."""
        run = self._files.run
        begun = None if run is None else read_begun(run)
        too_late = self._files.too_late.read_text().split("\n")[:-1] if self._files.too_late.exists() else []
        return SessionEnd(
            status=status,
            begun=begun is not None,
            left=0 if run is None or begun is None else len(_left(run, begun.tests)),
            too_late=len({*too_late}),
            told="cancel" if self._folder.cancelled else self._told,
            idle=idle,
            crashes=crashes,
            said=_last_words(self._files.output),
        )

    def _say(self, state: PartState, why: str = "", *, idle: int | None = None) -> None:
        """Write down how far the part is: at once if its state or its results change, or else every few seconds.

        If another job works on the part, this one was taken for dead: it ends at once, and writes nothing more.
        """
        now, said = time.monotonic(), self._files.status()
        if said is not None and said.holder != self._holder and said != self._before:
            self._give_way()
        outcomes = self._tally.outcomes
        same = said is not None and (said.holder, said.state, said.outcomes) == (self._holder, state, outcomes)
        if same and now - self._said_at < _SAY_S:
            return
        self._said_at = now
        status = PartStatus(
            state=state,
            holder=self._holder,
            go=1 if self._before is None else self._before.go + 1,
            host=socket.gethostname(),
            at=time.time(),
            ran_s=(0.0 if self._before is None else self._before.ran_s) + now - self._began,
            outcomes=outcomes,
            cost_usd=self._tally.cost_usd,
            idle=self._idle_before if idle is None else idle,
            why=why,
        )
        self._files.write_status(status)

    def _give_way(self) -> NoReturn:
        if self._session is not None:
            with suppress(psutil.NoSuchProcess):
                session = psutil.Process(self._session.pid)
                for process in [*session.children(recursive=True), session]:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
        sys.exit("another job works on this part: this one was taken for dead")

    def _on_time(self, _number: int, _frame: FrameType | None) -> None:
        """The job is about to reach its time limit."""
        self._told = self._told or "time"
        if self._session is not None:
            self._session.terminate()

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        """The job must end. Slurm tells all its processes, and a second signal would cut the sessions short."""
        self._told = self._told or "stop"
        if self._session is not None and self.launch.cluster == "local":
            self._session.terminate()


def _left(run: Path, tests: Mapping[str, str]) -> set[str]:
    """Return the sessions of a run that have no result, without those that only wait for room in a budget."""
    records = read(run / RESULTS) if (run / RESULTS).is_file() else []
    last = {record.session: record for record in sorted(records, key=lambda record: record.try_number)}
    open_sessions = {*unfinished(tests, records, keep_errors=True).values()}
    return {name for name in open_sessions if name not in last or last[name].ending is not Ending.BUDGET_SPENT}


def _last_words(output: Path) -> str:
    """Return the last line that pytest printed."""
    with suppress(OSError), output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - _TAIL))
        lines = file.read().decode(errors="replace").split("\n")
        return visible(next((line.strip() for line in reversed(lines) if line.strip()), ""))
    return ""
