"""Measures a running box from the host: memory, processes, disk."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.sandbox.base import Bounds, Resources
from harness.sandbox.cgroup import Group
from harness.sandbox.disk import Disk
from harness.sandbox.held import Held, descendants, held
from harness.untrusted.tree import walk

_PROCESSES_EVERY_S = 0.5
_DISK_EVERY_S = 2.0
_SOONEST_S = 0.02
_FASTEST = 2e9
"""Bytes in a second that a box can fill at most, roughly. It decides when a box near a bound is measured again."""
_WALKS = 3
_SHARE = 10
_NO_BOUNDS = Bounds()
_BLOCK = 512
_SMALLEST = 4096
"""What a file counts at least: the kernel keeps its inode and its name, although an empty file has no blocks."""


class BoxMonitor:
    """Measures one box.

    `pid` is the host's id of the process from which all others of the box descend. `folders` are the folders that the
    box may write to. `memory_folders` are places inside the box whose files are in memory. Where the box has a
    `group` that the kernel keeps within its memory, the group knows best how much there is. A `disk` knows what is in
    its folders.

    The nearer the box is to its bounds, the sooner `measure` looks again.
    """

    def __init__(
        self,
        pid: int,
        folders: Sequence[Path],
        *,
        memory_folders: Sequence[str] = (),
        bounds: Bounds = _NO_BOUNDS,
        group: Group | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._pid = pid
        self._folders = tuple(folders)
        self._memory_folders = tuple(Path("/proc", str(pid), "root", name.lstrip("/")) for name in memory_folders)
        self._bounds, self._group, self._file_system = bounds, group, disk
        self._known = Resources()
        self._processes_due = self._disk_due = 0.0

    @property
    def due(self) -> float:
        """When there is something to measure again, in seconds of the clock given to `measure`."""
        return min(self._processes_due, self._disk_due)

    def measure(self, now: float) -> Resources:
        """Return what is known at `now`, in seconds of a steady clock. Only figures that are due are renewed."""
        known = self._known
        memory, processes, killed = known.memory_bytes, known.processes, known.out_of_memory
        disk = known.disk_bytes
        look_at_disk, look_at_processes = now >= self._disk_due, now >= self._processes_due
        pids = self._pids() if look_at_disk or look_at_processes else []
        if look_at_processes:
            memory, processes = self._memory(pids), len(pids)
            killed = killed or self._killed()
            self._processes_due = now + self._pause(memory, self._bounds.memory_bytes, _PROCESSES_EVERY_S)
        if look_at_disk:
            began = time.monotonic()
            disk = self._disk(pids)
            took = time.monotonic() - began
            pause = max(took * _SHARE, self._pause(disk, self._bounds.disk_bytes, _DISK_EVERY_S))
            self._disk_due = now + pause
        self._known = Resources(memory, processes, disk, killed)
        return self._known

    def renew(self, now: float) -> Resources:
        """Measure everything that can change before a box ends for good, and return it."""
        self._processes_due = self._disk_due = 0.0
        return self.measure(now)

    def _pids(self) -> list[int]:
        if self._group is not None:
            with suppress(OSError):
                return self._group.processes()
        return [pid for pid in descendants(self._pid) if Path("/proc", str(pid)).exists()]

    def _killed(self) -> bool:
        if self._group is None or not self._group.bounds_memory:
            return False
        return self._group.ran_out_of_memory()

    def _memory(self, pids: Sequence[int]) -> int:
        if self._group is not None and self._group.bounds_memory:
            with suppress(OSError):
                return self._group.memory_bytes()
        disks = frozenset(_device(folder) for folder in self._folders)
        in_memory = frozenset(_device(folder) for folder in self._memory_folders)
        nameless = held(pids, disks, in_memory).memory_bytes
        return sum(map(_resident, pids)) + sum(map(_used, self._memory_folders)) + nameless

    def _disk(self, pids: Sequence[int]) -> int:
        """Return the bytes in the folders and in deleted files that are still open.

        If folders vanish or move while they are counted, count again. The largest count is the best.
        """
        if self._file_system is not None:
            return self._file_system.used()
        counts = []
        for _ in range(_WALKS):
            moved: list[str] = []
            counts.append(sum(_size(folder, moved) for folder in self._folders))
            if not moved:
                break
        disks = frozenset(_device(folder) for folder in self._folders)
        return max(counts) + (held(pids, disks) if self._folders else Held()).disk_bytes

    @staticmethod
    def _pause(used: int, bound: int | None, usual: float) -> float:
        """Return the seconds until a figure is due again: less than a box needs to reach the bound."""
        return usual if bound is None else min(usual, max(_SOONEST_S, (bound - used) / _FASTEST))


def _size(folder: Path, moved: list[str]) -> int:
    with suppress(OSError):  # a folder that was removed in the meantime holds nothing
        return sum(max(status.st_blocks * _BLOCK, _SMALLEST) for _name, status in walk(folder, moved=moved))
    return 0


def _resident(pid: int) -> int:
    """Return the memory of a process, with its page tables: pages that hold nothing take no other memory."""
    with suppress(OSError):
        lines = Path("/proc", str(pid), "status").read_text(errors="replace").splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("VmRSS:", "VmPTE:")))
    return 0


def _used(folder: Path) -> int:
    with suppress(OSError):
        found = os.statvfs(folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize
    return 0


def _device(folder: Path) -> int:
    with suppress(OSError):
        return folder.stat().st_dev
    return -1
