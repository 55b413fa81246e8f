"""What the cluster says about the jobs of a launched run, and how they are cancelled."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Literal

from msgspec import Struct

from harness.launch.files import Jobs, LaunchPlan
from harness.launch.slurm import ask
from harness.servers.processes import Process

_WAITS = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD", "SUSPENDED", "STOPPED"}
_RUNS = {"RUNNING", "CONFIGURING", "COMPLETING", "SIGNALING", "STAGE_OUT", "RESIZING"}

JobState = Literal["waits", "runs", "ended"]


class QueuedJob(Struct, frozen=True):
    """What the cluster says about a job: whether it waits, runs or has ended. `told` is the state in its own words."""

    state: JobState
    told: str = ""


def look(launch: LaunchPlan, jobs: Jobs) -> list[QueuedJob]:
    """Return what the cluster says about each job. Raise `SlurmError` if it does not answer."""
    if launch.cluster == "local":
        return [_local(int(job.id), job.started) for job in jobs.jobs]
    ids = [job.id for job in jobs.jobs]
    arrays = sorted({one.partition("_")[0] for one in ids})
    answer = ask(["squeue", "--noheader", "--array", "--states=all", "--jobs", ",".join(arrays), "-o", "%i|%T|%r"])
    known = dict(read_queue(answer))
    return [known.get(one, QueuedJob("ended", "no longer known to Slurm")) for one in ids]


def read_queue(answer: str) -> list[tuple[str, QueuedJob]]:
    """Return the ids and states in the answer of squeue."""
    found = []
    for line in answer.splitlines():
        job, state, reason = [*line.strip().split("|", 2), "", ""][:3]
        kind: JobState = "waits" if state in _WAITS else "runs" if state in _RUNS else "ended"
        told = state if reason in {"", "None"} else f"{state}: {reason}"
        found.append((job, QueuedJob(kind, told)))
    return found


def cancel(launch: LaunchPlan, jobs: Jobs) -> None:
    """Ask the cluster to end all jobs. Raise `SlurmError` if it does not answer."""
    if launch.cluster == "slurm":
        ask(["scancel", *sorted({job.id.partition("_")[0] for job in jobs.jobs})])
        return
    for job in jobs.jobs:
        if _lives(int(job.id), job.started):
            with suppress(ProcessLookupError):
                os.kill(int(job.id), signal.SIGTERM)


def _local(pid: int, started: int | None) -> QueuedJob:
    return QueuedJob("runs") if _lives(pid, started) else QueuedJob("ended")


def _lives(pid: int, started: int | None) -> bool:
    return started is not None and Process(pid, started).lives
