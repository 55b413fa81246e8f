"""Makes up plans of launched runs."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from harness.launch.files import JobRequest, LaunchPlan, Part

PART = Part(index=2, cases=["a", "b", "c", "d"], servers=["ollama/qwen"], expected_s=100.0)


def a_plan(**changes: Any) -> LaunchPlan:
    """Return the plan of a run in two parts, with these changes."""
    base = LaunchPlan(
        suite="nightly",
        cluster="slurm",
        root="/project",
        runs="/project/runs",
        options=["--suite=nightly", "--set=limits.turns=3"],
        workers="auto",
        parts=[PART, PART],
        resources=JobRequest(time_s=5400, ending_s=36.5, gpus_per_node=2, options={"partition": "gpu", "mem": "64G"}),
        sharing="divided",
        why="",
    )
    return replace(base, **changes)
