"""What a session says at its end, with pytest's own reporter, with another one, and without any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from harness.characters import printable


class Closing(NamedTuple):
    """Lines to show at the end of a session, and a warning below them. There may be nothing to show."""

    lines: Sequence[str] = ()
    warning: str | None = None
    title: str = "cases"

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.lines and self.warning is None


class AtTheEnd:
    """The hooks that show the closing lines, in the order in which they are given.

    pytest's own reporter asks for them. A plugin that replaces it may not, so they are then printed last.
    """

    def __init__(self, *closings: Callable[[], Closing]) -> None:
        self._closings = closings
        self._shown = False

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the lines in pytest's summary."""
        self._shown = True
        for closing in self._to_show():
            terminalreporter.write_sep("=", closing.title)
            for line in closing.lines:
                terminalreporter.write_line(printable(line))
            if closing.warning is not None:
                terminalreporter.write_line(printable(closing.warning), yellow=True)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Print the lines if no reporter has asked for them."""
        closings = [] if self._shown else self._to_show()
        if not closings:
            return
        capture = config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)
        for closing in closings:
            text = map(printable, [*closing.lines, *filter(None, [closing.warning])])
            print("", f" {closing.title} ".center(80, "="), *text, sep="\n", flush=True)
        if capture is not None:
            capture.resume_global_capture()

    def _to_show(self) -> list[Closing]:
        return [closing for ask in self._closings if not (closing := ask()).empty]
