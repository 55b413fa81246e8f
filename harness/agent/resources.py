"""What a box takes of its machine while it runs: memory, processes, disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

import psutil
from msgspec import Struct

from harness.agent.tree import walk

_PROCESSES_EVERY_S = 0.5
_DISK_EVERY_S = 2.0
_ENTRIES = 2000
"""Files that one look counts: some ten milliseconds. A larger tree takes several looks."""
_LOOK_EVERY_S = 0.1
_BLOCK = 512


class Resources(Struct, frozen=True):
    """Bytes of resident memory of all processes together, their number, and bytes on disk in workspace and home."""

    memory_bytes: int = 0
    processes: int = 0
    disk_bytes: int = 0


class ResourceMonitor(Protocol):
    """Measures a box."""

    def measure(self, now: float) -> Resources:
        """What is known at `now` (seconds of a steady clock); takes new measurements where they are due."""


class BoxMonitor:
    """The monitor of a box whose first process is `pid` and which may write to `folders`."""

    def __init__(self, pid: int, folders: Sequence[Path]) -> None:
        self._pid = pid
        self._folders = tuple(folders)
        self._walk: Iterator[tuple[str, os.stat_result]] = iter(())
        self._counted = 0
        self._known = Resources()
        self._processes_due = self._disk_due = self._look_due = 0.0

    def measure(self, now: float) -> Resources:
        """See `ResourceMonitor.measure`."""
        memory, processes, disk = self._known.memory_bytes, self._known.processes, self._known.disk_bytes
        if now >= self._processes_due:
            self._processes_due = now + _PROCESSES_EVERY_S
            memory, processes = _resident(self._pid)
        if now >= self._look_due:
            self._look_due = now + _LOOK_EVERY_S
            disk = self._disk(now)
        self._known = Resources(memory, processes, disk)
        return self._known

    def _disk(self, now: float) -> int:
        """The last whole count, or the one under way where that is greater."""
        known = self._known.disk_bytes
        if now < self._disk_due:
            return known
        seen = 0
        with suppress(OSError):  # a folder that the agent has taken away holds nothing
            for _name, status in islice(self._walk, _ENTRIES):
                seen += 1
                self._counted += status.st_blocks * _BLOCK
        if seen == _ENTRIES:
            return max(known, self._counted)
        counted, self._counted = self._counted, 0
        self._walk = chain.from_iterable(map(walk, self._folders))
        self._disk_due = now + _DISK_EVERY_S
        return counted


def _resident(pid: int) -> tuple[int, int]:
    memory = processes = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                memory += process.memory_info().rss
                processes += 1
    return memory, processes
