"""What a session says at its end, with pytest's own reporter, with another one, and without any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from harness.visible import visible

_TITLE = "cases"


class Closing(NamedTuple):
    """Lines to show at the end of a session, and a warning below them. There may be nothing to show."""

    lines: Sequence[str] = ()
    warning: str | None = None


class AtTheEnd:
    """The hooks that show the closing lines.

    pytest's own reporter asks for them. A plugin that replaces it may not, so they are then printed last.
    """

    def __init__(self, closing: Callable[[], Closing]) -> None:
        self._closing = closing
        self._shown = False

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the lines in pytest's summary."""
        self._shown = True
        lines, warning = self._closing()
        lines = [*map(visible, lines)]
        if lines or warning is not None:
            terminalreporter.write_sep("=", _TITLE)
        for line in lines:
            terminalreporter.write_line(line)
        if warning is not None:
            terminalreporter.write_line(warning, yellow=True)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Print the lines if no reporter has asked for them."""
        lines, warning = self._closing()
        text = [*map(visible, lines), *filter(None, [warning])]
        if self._shown or not text:
            return
        capture = config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)
        print("", f" {_TITLE} ".center(80, "="), *text, sep="\n", flush=True)
        if capture is not None:
            capture.resume_global_capture()
