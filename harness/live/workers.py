"""The live view of a run with workers, as a pytest plugin of the process that controls them."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from threading import Event, RLock, Thread
from typing import Any

import pytest

from harness.live.board import Board
from harness.live.canvas import Canvas
from harness.live.status import read_statuses
from harness.node_ids import parameters_of
from harness.temporary import hold, sweep

_EVERY_S = 0.5


class LiveWorkers:
    """Draws the board twice a second, from the first collection with a case to the end of the session.

    `folder` is made here and removed in the end. Workers write their status there. `cases` are the ids of all cases,
    and `expected` maps them to the seconds that they took in earlier runs.
    """

    def __init__(self, canvas: Canvas, folder: Path, cases: Set[str], expected: Mapping[str, float]) -> None:
        self._canvas = canvas
        self._folder = folder
        self._cases = cases
        self._expected = expected
        self._board: Board | None = None
        self._workers: set[str] = set()
        self._lock = RLock()
        self._over = Event()
        self._thread: Thread | None = None
        sweep("live")  # the main process of another run was killed
        folder.mkdir(mode=0o700)
        self._held = hold(folder)
        canvas.open()

    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Start to draw if the worker has collected a case."""
        with self._lock:
            self._workers.add(node.gateway.id)
            if self._board is None:
                cases = [case for nodeid in ids if (case := parameters_of(nodeid)) in self._cases]
                if cases:
                    board = self._board = Board(cases, self._expected)
                    self._thread = Thread(target=self._run, args=(board,), name="proctor-live", daemon=True)
                    self._thread.start()

    def add(self, cases: Collection[str]) -> None:
        """Count further cases, which are added while the others run."""
        with self._lock:
            self._cases |= set(cases)
            if self._board:
                self._board.add(cases)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Note that a worker begins a test."""
        with self._lock:
            if self._board:
                self._board.began(parameters_of(nodeid), time.monotonic())

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Note that a test has ended."""
        with self._lock:
            if self._board:
                self._board.done(parameters_of(nodeid), time.monotonic())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the end of a test that killed its worker for the last time, since xdist does not report it."""
        if report.failed and report.when != "call":
            self.pytest_runtest_logfinish(report.nodeid)

    def pytest_testnodedown(self, node: Any) -> None:
        """Forget a worker that is gone, and its last status."""
        with self._lock:
            self._workers.discard(node.gateway.id)
        (self._folder / f"{node.gateway.id}.json").unlink(missing_ok=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Leave the screen to pytest's summary."""
        self.finish()

    def pytest_unconfigure(self) -> None:
        """Clean up after all workers have stopped, even if the session did not finish."""
        self.finish()
        rmtree(self._folder, ignore_errors=True)
        os.close(self._held)

    def finish(self) -> None:
        """Wipe the board and stop drawing. May be called again."""
        self._over.set()
        if self._thread:
            self._thread.join()
        with suppress(OSError):  # the terminal is gone
            self._canvas.close()

    def _run(self, board: Board) -> None:
        with suppress(OSError):
            while not self._over.wait(_EVERY_S):
                self._canvas.draw(self._lines(board))

    def _lines(self, board: Board) -> list[str]:
        columns, rows = self._canvas.size()
        statuses = read_statuses(self._folder)
        with self._lock:
            return board.lines(statuses, now=time.monotonic(), workers=len(self._workers), columns=columns, rows=rows)
