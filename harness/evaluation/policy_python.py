"""Which Python runs a program that somebody gives."""

from __future__ import annotations

import subprocess

from harness.environment_conf import EnvironmentConf
from harness.environments.factory import python_for_programs

_NEEDED = "import numpy, gymnasium"
_LIMIT_S = 60.0


def python_fault(python: str) -> str | None:
    """Return why the Python at this path cannot run programs, or `None` if it can. It needs NumPy and Gymnasium."""
    try:
        done = subprocess.run([python, "-c", _NEEDED], capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(getattr(error, "strerror", None) or error)
    if done.returncode == 0:
        return None
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return f"it needs NumPy and Gymnasium: {said[-1]}"


def python_of_programs(conf: EnvironmentConf) -> str | None:
    """Return the path of the Python that runs programs in an environment, or `None` for Proctor's own.

    The environment's own is used only if it can run programs.
    """
    python = python_for_programs(conf)
    return python if python is not None and python_fault(python) is None else None
