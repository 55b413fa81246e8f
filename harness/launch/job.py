"""The job that a part runs in: how much time it has, how it runs again, and what it must not share with other jobs."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
import uuid
from pathlib import Path

from harness.launch.files import Cluster, LaunchPlan
from harness.launch.slurm import SlurmError, ask
from harness.results.claims import RUNNING, busy, claimed_elsewhere
from harness.servers.leases import FOLDER_VARIABLE

_AGAIN = 144
"""The exit status by which submitit's local executor runs a job again."""

_LOCK_S = 120.0
_POLL_S = 1.0
_LEFT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


def job_id() -> str | None:
    """Return the id of this job in Slurm, or `None` outside it.

    It is that of the task in its array. The other id of a task, SLURM_JOB_ID, may be that of the whole array.
    """
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def holder_of_job() -> str:
    """Return a name for this job that no other job, and no earlier start of this one, has."""
    return f"{job_id() or 'local'}.{uuid.uuid4().hex[:12]}"


def seconds_left(launch: LaunchPlan) -> float | None:
    """Return how many seconds are left of the job's time, or `None` if it has no limit. Call this when it begins."""
    job = job_id()
    if launch.cluster == "local" or job is None:
        return launch.resources.time_s
    try:
        told = ask(["squeue", "--noheader", "--jobs", job, "--format", "%L"]).strip()
    except SlurmError:
        told = ""
    return parse_left(told, launch.resources.time_s)


def parse_left(text: str, otherwise: float) -> float | None:
    """Return the seconds in squeue's `D-HH:MM:SS`, `None` for `UNLIMITED`, and `otherwise` for anything else."""
    if text == "UNLIMITED":
        return None
    found = _LEFT.fullmatch(text)
    if found is None:
        return otherwise
    days, hours, minutes, seconds = (int(one or 0) for one in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def requeue(cluster: Cluster) -> None:
    """Have this job run again, and end it. Exit with 1 if the cluster refuses."""
    job = job_id()
    if cluster == "local" or job is None:
        sys.exit(_AGAIN)
    try:
        ask(["scontrol", "requeue", job])
    except SlurmError as error:
        sys.exit(f"Slurm does not run job {job} again: {error}")
    time.sleep(_LOCK_S)  # Slurm ends this job
    sys.exit(1)


def variables_of_job(cluster: Cluster) -> dict[str, str]:
    """Return the variables of the sessions in this job.

    Two jobs on one node must not share a model server: it would run on the GPUs of one of them, and end with it.
    """
    job = job_id()
    if cluster == "local" or job is None or FOLDER_VARIABLE in os.environ:
        return {}
    return {FOLDER_VARIABLE: str(Path(tempfile.gettempdir()) / f"proctor-{os.getuid()}-job-{job}")}


def free_run(run: Path) -> None:
    """Wait until no other process writes the run. Slurm runs a job again only once it takes the job before for dead.

    A lock that a dead node still holds ends by itself, or is passed over after two minutes: the file that carries it is
    removed, and a process that should still hold it finds that it has lost the part. What a process of this machine
    holds stays, and pytest then says which one it is.
    """
    deadline = time.monotonic() + _LOCK_S
    while busy(run) is not None:
        if time.monotonic() > deadline:
            if claimed_elsewhere(run):
                (run / RUNNING).unlink(missing_ok=True)
            return
        time.sleep(_POLL_S)
