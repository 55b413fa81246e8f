"""The progress of running cases on the terminal: a line, or a board if there are workers. With -q, nothing is shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.case import Case
from harness.live.canvas import Canvas
from harness.live.line import Live, LiveLine
from harness.live.status import StatusFile
from harness.live.workers import LiveWorkers
from harness.results.times import UNKNOWN_S, Times

BOARD = "proctor-live-workers"
"""The name of the plugin that shows a line for each worker."""


def live(config: pytest.Config, status_file: Path | None, gpu_memory_mb: Callable[[], float | None]) -> Live:
    """Return the live view of this process: a line on its terminal, or a worker's file for the board.

    The progress of a test is erased when the test is reported.
    """
    shown: Live
    if status_file is not None:
        shown = StatusFile(status_file, gpu_memory_mb)
    else:
        shown = LiveLine(_terminal(config), lambda: config.get_terminal_writer().width_of_current_line)
    config.pluginmanager.register(_Wiper(shown), "proctor-live")
    return shown


def show_workers(config: pytest.Config, folder: Path, cases: Sequence[Case], times: Times) -> LiveWorkers | None:
    """Show a line for each worker and a bar, if there is a terminal. Workers write their status to `folder`."""
    terminal = _terminal(config)
    if terminal is None:
        return None
    known = {case.id: times.expected_s(case) for case in cases}
    expected = {case: seconds for case, seconds in known.items() if seconds != UNKNOWN_S}
    board = LiveWorkers(Canvas(terminal, config.get_terminal_writer()), folder, set(known), expected)
    config.pluginmanager.register(board, BOARD)
    return board


class _Wiper:
    """The hook that erases the progress of a test before pytest reports the test."""

    def __init__(self, shown: Live) -> None:
        self._shown = shown

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self) -> None:
        self._shown.clear()


def _terminal(config: pytest.Config) -> int | None:
    """Return a stream to the terminal that works while pytest captures output. Return `None` without one or with -q."""
    capture = config.pluginmanager.getplugin("capturemanager")
    reporter = config.pluginmanager.getplugin("terminalreporter")  # another plugin may have put its own there
    shown = config.getoption("verbose", 0) >= 0 and isinstance(reporter, pytest.TerminalReporter)
    if capture is None or not shown:
        return None
    with capture.global_and_fixture_disabled():
        if not sys.stdout.isatty():
            return None
        terminal = os.dup(1)
    config.add_cleanup(lambda: os.close(terminal))
    return terminal
