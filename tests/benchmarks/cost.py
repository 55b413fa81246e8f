"""Measures the cost of a command in CPU time, which other processes of the machine disturb least."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def cpu_s(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> float:
    """Run a command to its end and return its CPU seconds. Python may cache compiled files, as usual."""
    before = _children_s()
    compiling = {**variables, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run(command, cwd=folder, env=compiling, check=True, stdout=subprocess.DEVNULL)
    return _children_s() - before


def least(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the least cost of each kind of run, because noise only adds. The kinds take turns and share the noise."""
    taken = [{name: run() for name, run in runs.items()} for _ in range(rounds)]
    return {name: min(costs[name] for costs in taken) for name in runs}


def _children_s() -> float:
    """Return the CPU seconds of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
