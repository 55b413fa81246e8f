"""Measures a running box from the host: memory, processes, disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

import psutil

from harness.sandbox.base import Resources
from harness.untrusted.tree import walk

_PROCESSES_EVERY_S = 0.5
_DISK_EVERY_S = 2.0
_ENTRIES = 2000
"""The files to count in one step of about ten milliseconds. A larger tree takes several steps."""
_LOOK_EVERY_S = 0.1
_BLOCK = 512


class BoxMonitor:
    """Measures one box, for kinds of sandbox without a cgroup.

    `pid` is the host's id of the process from which all others of the box descend. `folders` are the folders that the
    box may write to. `measure` takes some ten milliseconds at most, because it only renews the figures that are due.
    """

    def __init__(self, pid: int, folders: Sequence[Path]) -> None:
        self._pid = pid
        self._folders = tuple(folders)
        self._walk: Iterator[tuple[str, os.stat_result]] | None = None
        self._counted = 0
        self._known = Resources()
        self._processes_due = self._disk_due = self._look_due = 0.0

    def measure(self, now: float) -> Resources:
        """Return what is known at `now`, in seconds of a steady clock."""
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
        """Return the last finished count, or the unfinished count if it is greater."""
        known = self._known.disk_bytes
        if self._walk is None:
            if now < self._disk_due:
                return known
            self._walk, self._counted = chain.from_iterable(map(walk, self._folders)), 0
        seen = 0
        with suppress(OSError):  # a folder that was removed in the meantime holds nothing
            for _name, status in islice(self._walk, _ENTRIES):
                seen += 1
                self._counted += status.st_blocks * _BLOCK
        if seen == _ENTRIES:
            return max(known, self._counted)
        self._walk, self._disk_due = None, now + _DISK_EVERY_S
        return self._counted


def _resident(pid: int) -> tuple[int, int]:
    memory = processes = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                memory += process.memory_info().rss
                processes += 1
    return memory, processes
