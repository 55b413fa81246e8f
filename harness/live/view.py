"""What the terminal shows of cases under way: a line, or with workers a board; nothing under -q."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.live.canvas import Canvas
from harness.live.line import Live, LiveLine
from harness.live.status import StatusFile
from harness.live.workers import LiveWorkers
from harness.results.times import UNKNOWN_S
from harness.run import Run

_PLUGIN = "proctor-live-workers"
_STATUS = "proctor_status"


def live(config: pytest.Config, gpu_memory_mb: Callable[[], float | None]) -> Live:
    """Where this process shows what its case is doing: a line on its terminal, or a worker's file of the board."""
    if hasattr(config, "workerinput"):
        path = config.workerinput.get(_STATUS)
        return StatusFile(Path(path), gpu_memory_mb) if path else LiveLine(None)
    terminal = None if config.getoption("numprocesses", None) else _terminal(config)
    return LiveLine(terminal, lambda: config.get_terminal_writer().width_of_current_line)


def show_workers(config: pytest.Config, run: Run) -> None:
    """With workers and a terminal: a line for each of them, and a bar."""
    terminal = _terminal(config) if config.getoption("numprocesses", None) else None
    if terminal is None:
        return

    def expected() -> dict[str, float]:
        known = {case.id: run.times.expected_s(case) for case in run.cases}
        return {case: seconds for case, seconds in known.items() if seconds != UNKNOWN_S}

    canvas = Canvas(terminal, config.get_terminal_writer())
    config.pluginmanager.register(LiveWorkers(canvas, lambda: [case.id for case in run.cases], expected), _PLUGIN)


def tell_worker(node: Any) -> None:
    """Tell an xdist worker where the board looks for its status."""
    board = node.config.pluginmanager.getplugin(_PLUGIN)
    if board is not None:
        node.workerinput[_STATUS] = str(board.status_file(node.gateway.id))


def _terminal(config: pytest.Config) -> int | None:
    """A way to the terminal, which capturing takes away during a test; none without one, or under -q."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if config.option.verbose < 0 or capture is None or not config.pluginmanager.hasplugin("terminalreporter"):
        return None
    with capture.global_and_fixture_disabled():
        if not sys.stdout.isatty():
            return None
        terminal = os.dup(1)
    config.add_cleanup(lambda: os.close(terminal))
    return terminal
