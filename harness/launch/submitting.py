"""Submits the jobs of a launched run: `python -m harness.launch.submitting FOLDER`. It needs the extra `cluster`.

This is a process in a session of its own, so that the jobs of the local executor outlive the terminal.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import msgspec
import submitit

from harness.launch.asking import local_parameters, slurm_parameters
from harness.launch.files import Jobs, LaunchedJob, LaunchFolder, LaunchPlan
from harness.launch.part import run_part
from harness.results.durable import write_durably
from harness.servers.processes import process


def main() -> None:
    """Submit the jobs, and write down their ids."""
    [folder] = map(LaunchFolder, map(Path, sys.argv[1:]))
    launch = folder.read()
    executor = _executor(launch, folder.submission)
    indices = [part.index for part in launch.parts]
    jobs = executor.map_array(run_part, [str(folder.path)] * len(indices), indices)
    ids = [LaunchedJob(job.job_id, _started(launch, job.job_id)) for job in jobs]
    write_durably(folder.jobs_file, [msgspec.json.encode(Jobs(socket.gethostname(), ids)) + b"\n"])


def _executor(plan: LaunchPlan, folder: Path) -> Any:
    if plan.cluster == "local":
        local = submitit.LocalExecutor(folder)
        local.update_parameters(**local_parameters(plan))
        return local
    slurm = submitit.SlurmExecutor(folder)
    slurm.update_parameters(**slurm_parameters(plan))
    return slurm


def _started(launch: LaunchPlan, job: str) -> int | None:
    """Return when the process of a job began, if it runs on this machine."""
    found = process(int(job)) if launch.cluster == "local" else None
    return None if found is None else found.started


if __name__ == "__main__":
    main()
