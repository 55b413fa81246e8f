"""Helpers for tests that watch processes."""

from __future__ import annotations

from collections.abc import Iterable

import psutil


def gone(pids: Iterable[int], within: float) -> bool:
    """Return whether all processes have ended in so many seconds. Zombies have ended."""
    processes = []
    for pid in pids:
        try:
            processes.append(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=within)
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)
