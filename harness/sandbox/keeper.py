"""Keeps a process and its descendants within bounds, by a cgroup where there is one, and by measuring."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from harness.sandbox.base import Bounds, Resources, SandboxError
from harness.sandbox.cgroup import Group, Parents, parents
from harness.sandbox.disk import Disk
from harness.sandbox.monitor import BoxMonitor

PATIENCE = 1.1
"""How far above a bound a measured figure may be before everything is killed.

Who watches the box has seen the bound exceeded before that, and may have ended it in a gentler way.
"""
STRONGER = "run as root on a machine whose cgroups can be written, or from a systemd user session (cgroup v2)"
"""What to do so that the kernel keeps the limits."""
MEMORY, PROCESSES, CPU, DISK, UIDS = "limit of memory", "limit of processes", "fair CPU", "limit of the disk", "own uid"
LIMITS = {
    MEMORY: "the limit of memory is kept by measuring, because there is no memory cgroup",
    PROCESSES: "the limit of processes counts all processes of the uid, because there is no pids cgroup",
    CPU: "a busy box may slow others down, because there is no cpu cgroup",
    DISK: "the limit of the disk is kept by measuring, because no file system can be made for a box",
    UIDS: "all boxes run under one uid, and share what the kernel counts by uid, such as inotify instances",
}
"""What the kernel may guarantee about limits, by its name: the words for a machine where it does not."""
_LONGEST_PAUSE_S = 0.5
_FIRST_VICTIM = "1000"


class Keeper:
    """Keeps the process `pid` and all its descendants within `bounds`.

    Make it before the process does anything for someone else: what it started earlier is not in its cgroup. Call
    `watch` when its file system is complete, and `close` when all have ended. `kill` ends them all. A thread calls it
    if a bound that the kernel does not keep is exceeded by a tenth. `folders`, `memory_folders` and `disk` are as in
    `BoxMonitor`. If `grouped` is false, the process stays in the cgroup that it has. If the machine runs out of memory,
    the kernel kills these processes first. Raise `SandboxError` if the process cannot be put into its cgroup.
    """

    def __init__(
        self,
        pid: int,
        bounds: Bounds,
        *,
        kill: Callable[[], None],
        folders: Sequence[Path] = (),
        memory_folders: Sequence[str] = (),
        disk: Disk | None = None,
        grouped: bool = True,
    ) -> None:
        self._bounds, self._kill, self._disk = bounds, kill, disk
        self._group = _group(pid, bounds) if grouped else None
        with suppress(OSError):  # the process has ended, or its user may not
            Path("/proc", str(pid), "oom_score_adj").write_text(_FIRST_VICTIM)
        self._monitor = BoxMonitor(
            pid, folders, memory_folders=memory_folders, bounds=bounds, group=self._group, disk=disk
        )
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._known: Resources | None = None
        self._thread = threading.Thread(target=self._watch, name=f"keeper of {pid}", daemon=True)

    def watch(self) -> None:
        """Begin to measure. Until then, only what the kernel keeps is kept."""
        if self._measured != Bounds():
            self._thread.start()

    @property
    def _measured(self) -> Bounds:
        """The bounds that the kernel does not keep."""
        by_kernel = self._group is not None and self._group.bounds_memory and self._group.bounds_sockets
        return Bounds(
            memory_bytes=None if by_kernel else self._bounds.memory_bytes,
            disk_bytes=None if self._disk is not None else self._bounds.disk_bytes,
        )

    def resources(self) -> Resources:
        """Return what the processes use, as last measured."""
        if self._known is None or not (self._thread.is_alive() or self._ended.is_set()):
            return self._measure()
        return self._known

    def measure_at_last(self) -> None:
        """Measure once more, before everything is killed, and keep the result. The thread ends."""
        self._stop()
        if self._known is None or not self._exceeded(self._known):  # or else what counts is gone already
            with self._lock:
                self._known = self._monitor.renew(time.monotonic())

    def end(self) -> None:
        """Kill the processes of the cgroup that are left, if there is one, and close."""
        if self._group is not None:
            self._group.kill()
        self.close()

    def close(self) -> None:
        """Remove the cgroup. All processes must have ended. `resources` goes on to return what was measured last."""
        self._stop()
        if self._group is not None:
            self._group.remove()
            self._group = None

    def _stop(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _measure(self) -> Resources:
        with self._lock:
            self._known = self._monitor.measure(time.monotonic())
            return self._known

    def _watch(self) -> None:
        while not self._ended.is_set():
            used = self._measure()
            if self._exceeded(used):
                self._kill()
                return
            self._ended.wait(min(_LONGEST_PAUSE_S, max(0.0, self._monitor.due - time.monotonic())))

    def _exceeded(self, used: Resources) -> bool:
        measured = self._measured
        return _over(used.disk_bytes, measured.disk_bytes) or _over(used.memory_bytes, measured.memory_bytes)


def _over(used: int, bound: int | None) -> bool:
    return bound is not None and used > bound * PATIENCE


def _group(pid: int, bounds: Bounds) -> Group | None:
    """Return a group with the process in it, or `None` if this user can make none."""
    found = parents()
    if not found.folders:
        return None
    try:
        group = Group(found, memory_bytes=bounds.memory_bytes, tasks=bounds.tasks)
    except OSError as error:
        raise SandboxError(f"cannot make a cgroup: {error}\ncheck the cgroup of this process") from error
    try:
        group.add(pid)
    except OSError as error:
        group.remove()
        raise SandboxError(f"cannot put process {pid} into a cgroup: {error}\nsee the kernel's log") from error
    return group


def weaker(found: Parents, *, disks: bool, root: bool) -> tuple[str, ...]:
    """Return what cannot be guaranteed about limits, in words.

    `found` is where groups can be made, and `disks` says whether boxes can have file systems of their own.
    """
    controllers = {"memory": MEMORY, "pids": PROCESSES, "cpu": CPU}
    lacking = [limit for name, limit in controllers.items() if name not in found.folders]
    lacking += [] if disks else [DISK]
    lacking += [] if root else [UIDS]
    return tuple(LIMITS[limit] for limit in lacking)
