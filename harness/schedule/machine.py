"""What this machine offers to a run: places for model servers, and how many workers can use it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import psutil

from harness.case import Case
from harness.schedule.auto_workers import workers
from harness.schedule.planner import Machine
from harness.servers.gpus import cpu_slots, inventory


def this_machine(cases: Sequence[Case]) -> Machine:
    """Return what this machine offers to the servers of these cases. Look for GPUs only if a case needs one.

    Leave out the GPUs that others are using now, unless all GPUs are in use.
    """
    asked = any(case.server is not None and case.server.gpus for case in cases)
    gpus = inventory() if asked else ()
    unused = [gpu for gpu in gpus if not gpu.processes]
    return Machine(gpus=len(unused or gpus), cpu_slots=cpu_slots())


def header(cases: Sequence[Case]) -> str | None:
    """Return the line at the start of a run that says where its model servers run.

    Return `None` if no case needs a server.
    """
    servers = {case.server for case in cases if case.server is not None}
    machine = this_machine(cases)
    missing = "no GPU to use; " if any(need.gpus for need in servers) else ""
    gpus = "1 GPU" if machine.gpus == 1 else f"{machine.gpus} GPUs"
    place = gpus if machine.gpus else f"{missing}{machine.cpu_slots} at a time on the CPU"
    return f"model servers: {len(servers)}; {place}" if servers else None


def auto_workers(cases: Sequence[Case]) -> int | None:
    """Return how many workers `-n auto` starts for these cases, or `None` if PYTEST_XDIST_AUTO_NUM_WORKERS is set."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    memory_gb = psutil.virtual_memory().available / 1e9
    needs = [case.server for case in cases]
    return workers(needs, this_machine(cases), cores=len(os.sched_getaffinity(0)), memory_gb=memory_gb)
