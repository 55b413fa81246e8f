"""Watches a launched run: shows the board, merges results as they come, and returns when no part goes on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from harness.launch import board, queue
from harness.launch.files import Jobs, LaunchFolder, LaunchPlan
from harness.launch.merging import Merger
from harness.launch.queue import QueuedJob
from harness.launch.slurm import SlurmError
from harness.launch.states import PartView, view
from harness.live.line import terminal_size
from harness.results.claims import RunBusyError
from harness.visible import visible

_EVERY_S = {"local": 0.5, "slurm": 2.0}
_ASK_S = {"local": 0.5, "slurm": 10.0}
"""Seconds between two questions to the cluster. All jobs are asked about at once."""

_MERGE_S = 10.0


class Watch:
    """Watches the run in `folder`. `secrets` are those of this host, for the results of killed sessions."""

    def __init__(self, folder: LaunchFolder, secrets: Mapping[str, str]) -> None:
        self._folder = folder
        self._secrets = secrets
        self._launch: LaunchPlan = folder.read()
        self._jobs: Jobs = folder.jobs()
        self._merger = Merger(folder, secrets)
        self._merged_at = self._asked_at = float("-inf")
        self._queue: list[QueuedJob] | None = None
        self._fault = ""

    @property
    def fault(self) -> str:
        """What is wrong now: the cluster does not answer, or the results cannot be written."""
        return self._fault

    def look(self) -> list[PartView]:
        """Return all parts as they are now."""
        now = time.monotonic()
        if now - self._asked_at >= _ASK_S[self._launch.cluster]:
            self._asked_at = now
            self._fault = ""
            try:
                self._queue = queue.look(self._launch, self._jobs)
            except SlurmError as error:
                self._queue, self._fault = None, str(error)
        return self._views()

    def _views(self) -> list[PartView]:
        asked: Sequence[QueuedJob | None] = self._queue or [None] * len(self._launch.parts)
        cancelled = self._folder.cancelled
        views = []
        for part, job in zip(self._launch.parts, asked, strict=True):
            status = self._folder.part(part.index).status()
            views.append(view(part, job, status, cancelled=cancelled, now=time.time()))
        return views

    def merge(self, *, at_once: bool = False) -> None:
        """Merge the results that are there, every few seconds. At the end, wait for another process that merges."""
        now = time.monotonic()
        if not at_once and now - self._merged_at < _MERGE_S:
            return
        self._merged_at = now
        for again in range(60 if at_once else 1):
            try:
                self._merger.merge()
            except RunBusyError as error:
                self._fault = str(error)
                time.sleep(1.0 if at_once and again < 59 else 0.0)
            except (OSError, ValueError) as error:
                self._fault, self._merger = f"cannot merge the results: {error}", Merger(self._folder, self._secrets)
                return
            else:
                return

    def until_over(self, show: Callable[[Sequence[PartView], str], None]) -> list[PartView]:
        """Show all parts again and again until none goes on. Return them then. All results are merged."""
        views = self.look()
        while not all(one.over for one in views):
            show(views, self._fault)
            self.merge()
            time.sleep(_EVERY_S[self._launch.cluster])
            views = self.look()
        show(views, self._fault)
        self.merge(at_once=True)
        return views


class Screen:
    """Shows the board on standard output: redrawn in place on a terminal, or else a line whenever something changes."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._drawn = 0
        self._told = dict[int, str]()

    def show(self, views: Sequence[PartView], fault: str) -> None:
        """Show the parts, and what keeps the board from being complete."""
        if not self._terminal:
            self._tell(views)
            return
        columns, rows = terminal_size(sys.stdout.fileno())
        drawn = [
            *board.lines(views, columns=columns - 1, rows=rows - 2),
            *([visible(fault)[: columns - 1]] if fault else []),
        ]
        self.clear()
        self._put("".join(f"{line}\r\n" for line in drawn))
        self._drawn = len(drawn)

    def clear(self) -> None:
        """Wipe the board."""
        if self._drawn:
            self._put(f"\x1b[{self._drawn}A\r\x1b[J")
            self._drawn = 0

    def _tell(self, views: Sequence[PartView]) -> None:
        changed = []
        for one in views:
            said = f"{one.phase}{f': {one.why}' if one.why else ''}"
            if self._told.get(one.part.index) != said:
                self._told[one.part.index] = said
                changed.append(f"{one.name} {said}, {one.finished} of {len(one.part.cases)} cases")
        if changed:
            print("\n".join([*map(visible, changed), board.total(views)]), flush=True)

    @staticmethod
    def _put(text: str) -> None:
        with suppress(OSError):  # the terminal is gone
            os.write(sys.stdout.fileno(), text.encode())
