"""Makes the page of runs: reads them, shows how far it is, and writes the file."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness.page.overview import ShownRun
from harness.page.write import write_page
from harness.report.verdicts import read_verdict
from harness.results.run_folder import VERDICT
from harness.results.runs import read_run
from harness.verdict.reading import trials_of

_EVERY_S = 0.2


def make_page(file: Path, runs: Sequence[Path]) -> str:
    """Write the page of these runs, oldest first, and return a sentence about it.

    On a terminal, show the progress. Raise `RunError` for a run that cannot be read, `LibrariesMissing`, or `OSError`.
    """
    size = write_page(file, [_read(run) for run in runs], _Progress().show)
    return f"page: {file} ({size / 1e6:.1f} MB)"


def _read(run: Path) -> ShownRun:
    folder, records = read_run(run)
    trials = trials_of(folder, records, running=False).trials
    verdict = read_verdict(folder / VERDICT) if (folder / VERDICT).exists() else None
    return ShownRun(folder=folder, records=records, trials=trials, verdict=verdict)


class _Progress:
    """Shows on a terminal how many cases are done, a few times a second."""

    def __init__(self) -> None:
        self._shown = 0.0

    def show(self, done: int, whole: int) -> None:
        """Show that so many cases are done."""
        if not sys.stderr.isatty():
            return
        if done == whole:
            print(end="\r\033[K", file=sys.stderr, flush=True)
        elif time.monotonic() - self._shown > _EVERY_S:
            self._shown = time.monotonic()
            print(f"\r  page: {done} of {whole} cases ", end="", file=sys.stderr, flush=True)
