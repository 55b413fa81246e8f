"""What the jobs of a launched run are asked for, and the command that each runs. It has no effects."""

from __future__ import annotations

import math
import sys
from typing import Any

from harness.launch.files import LaunchPlan, PartFolder
from harness.results.run_folder import LATEST


def slurm_parameters(plan: LaunchPlan) -> dict[str, Any]:
    """Return what submitit asks Slurm for: an array of jobs on one node each, which Slurm may run again."""
    asked = plan.resources
    gpus = {"gpus_per_node": asked.gpus_per_node} if asked.gpus_per_node else {}
    return {
        "job_name": f"proctor-{plan.suite}",
        "time": math.ceil(asked.time_s / 60),
        "nodes": 1,
        "ntasks_per_node": 1,
        "signal_delay_s": math.ceil(asked.ending_s),
        "array_parallelism": len(plan.parts),
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True, **asked.options},
        **gpus,
    }


def local_parameters(plan: LaunchPlan) -> dict[str, Any]:
    """Return what submitit's local executor is asked for: all parts see the same GPUs, and lease them."""
    asked = plan.resources
    return {
        "timeout_min": asked.time_s / 60,
        "signal_delay_s": asked.ending_s,
        "gpus_per_node": asked.gpus_per_node,
        "stderr_to_stdout": True,
    }


def session_command(plan: LaunchPlan, files: PartFolder, *, resume: bool) -> list[str]:
    """Return the command of a pytest session of a part: it begins the part's run, or goes on with it.

    Which cases it runs is in its orders.
    """
    words = [sys.executable, "-m", "pytest", f"--runs-dir={files.path}", "-n", plan.workers]
    if resume:
        return [*words, f"--resume={LATEST}", "--keep-errors"]
    return [*words, *plan.options]
