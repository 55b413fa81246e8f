"""Jobs and nodes of a launched run are struck at moments that hypothesis draws: nothing is lost, repeated or left."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from subprocess import CalledProcessError

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results.record import Record
from tests.support.launched import PARTS, LaunchedProject
from tests.support.plain_records import result
from tests.support.slurm import SlurmCluster

pytestmark = pytest.mark.slurm

EVERY = range(1, PARTS + 1)
MOMENTS = st.randoms(use_true_random=True).map(lambda chance: (round(chance.random(), 3), chance.choice(EVERY)))
"""A moment between 0 and 1 of the time that an unstruck run takes, and the part that is struck."""

Strike = Callable[[LaunchedProject, SlurmCluster, int], None]


def kill_node(launched: LaunchedProject, cluster: SlurmCluster, part: int) -> None:
    """Let the node that works on the part die, and bring it back."""
    node = cluster.node_of(launched.job_of(part))
    if node:
        cluster.kill_node(node)
        cluster.revive(node)


def requeue(launched: LaunchedProject, cluster: SlurmCluster, part: int) -> None:
    """Have Slurm run the job of the part again, as after a preemption."""
    cluster.call("scontrol", "requeue", launched.job_of(part))


def near_limit(launched: LaunchedProject, cluster: SlurmCluster, part: int) -> None:
    """Tell the job of the part that its time limit is near, as Slurm does."""
    cluster.call("scancel", "--signal=USR2", launched.job_of(part))


STRIKES: dict[str, Strike] = {"node": kill_node, "requeue": requeue, "limit": near_limit}


class Scene:
    """A launched run that is struck. `at` waits for the drawn moment."""

    def __init__(self, launched: LaunchedProject, moment: float) -> None:
        self._launched = launched
        self._seconds = moment * launched.unstruck_s
        self.board = launched.launch("slurm", "--time", "10m", suite="struck", workers="0")
        self._began = time.monotonic()

    def at(self, part: int) -> dict[str, Record]:
        """Wait for the moment, and until a job works on the part. Return what is finished then, by session."""
        launched = self._launched
        moment = self._began + self._seconds
        launched.wait(lambda: time.monotonic() > moment and part in launched.statuses, self.board, or_ended=True)
        return launched.finished


@pytest.mark.parametrize("kind", STRIKES)
def test_a_strike_at_any_moment_costs_no_result(launched: LaunchedProject, cluster: SlurmCluster, kind: str) -> None:
    faults = []

    @given(drawn=MOMENTS)
    def strike(drawn: tuple[float, int]) -> None:
        moment, part = drawn
        scene = Scene(launched, moment)
        kept = scene.at(part)
        with suppress(CalledProcessError):  # the job has just ended
            STRIKES[kind](launched, cluster, part)
        status = launched.end(scene.board, meanwhile=cluster.release)
        found = [
            *([f"exit status {status}"] if status else []),
            *(f"{name} differs" for name in launched.differing("struck")),
            *(f"{name} was repeated" for name, one in kept.items() if launched.records[name] != one),
            *left(launched),
        ]
        if found:
            faults.append(f"{kind} of part {part} at {moment}: {found}: {launched.told()}")

    strike()
    assert faults == []


def test_a_run_that_is_cancelled_at_any_moment_keeps_what_is_finished_and_says_what_is_missing(
    launched: LaunchedProject, cluster: SlurmCluster
) -> None:
    faults = []

    @given(drawn=MOMENTS)
    def strike(drawn: tuple[float, int]) -> None:
        moment, part = drawn
        scene = Scene(launched, moment)
        kept = scene.at(part)
        status = launched.end(launched.start("--cancel", "last"))
        launched.end(scene.board)
        cluster.empty()
        whole, now = launched.unbroken_of("struck"), launched.records
        found = [
            *([f"exit status {status}"] if status != bool(launched.missing) else []),
            *(f"{name} was lost" for name, one in kept.items() if now.get(name) != one),
            *(f"{name} differs" for name, one in now.items() if result(one) != whole[name]),
            *(f"{name} is neither there nor missing" for name in {*whole} - {*now} - {*launched.missing}),
            *left(launched),
        ]
        if found:
            faults.append(f"at {moment}: {found}: {launched.told()}")

    strike()
    assert faults == []


def left(launched: LaunchedProject) -> list[str]:
    """Return the processes of the launched runs that are still there."""

    def processes() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                if process.environ().get("PROCTOR_PART", "").startswith(str(launched.folder)):
                    found.append(process)
        return found

    _gone, alive = psutil.wait_procs(processes(), timeout=10)
    return [f"process {process.pid} is left" for process in alive]
