"""The page of a session: `pytest --html FILE` writes it when the run ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.closing import Closing
from harness.options import command_line
from harness.page.library_files import LibrariesMissing, read_libraries
from harness.page.make import make_page
from harness.results.record import Record
from harness.results.runs import RunError

_NOTHING = "no case has a record, so --html wrote no page"


def file_of(config: pytest.Config) -> Path:
    """Return the file that `--html` names. A relative path begins in the folder where pytest was called.

    Raise `pytest.UsageError` if no page can be written there.
    """
    here = config.invocation_params.dir
    file = here / (command_line(config).html or "")
    if "--html" in config.invocation_params.args and file.exists() and file.parent != here:
        raise pytest.UsageError(f"write --html={file}: pytest takes a second word for tests if there is such a file")
    try:
        read_libraries()
        _require_writable(file)
    except LibrariesMissing as error:
        raise pytest.UsageError(f"--html: {error}") from error
    except OSError as error:
        raise pytest.UsageError(f"--html: cannot write {file}: {error.strerror or error}") from error
    return file


def nothing_written() -> Closing:
    """Return what a session says that has no run."""
    return Closing(warning=_NOTHING, title="page")


class SessionPage:
    """The hook that writes the page. It is registered in the main process, after those that write what it shows.

    `records` returns the records of the run.
    """

    def __init__(self, file: Path, run: Path, records: Callable[[], Sequence[Record]]) -> None:
        self._file = file
        self._run = run
        self._records = records
        self._written: list[str] = []
        self._fault: str | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the page, unless the run has no record."""
        if not self._records():
            self._fault = _NOTHING
            return
        try:
            self._written = [make_page(self._file, [self._run])]
        except (RunError, LibrariesMissing, OSError) as error:
            self._fault = f"--html wrote no page: {error}"

    def added_to(self, closing: Closing) -> Closing:
        """Return what a session says at its end, together with where the page is."""
        warnings = "; ".join(filter(None, [closing.warning, self._fault]))
        return closing._replace(lines=[*closing.lines, *self._written], warning=warnings or None)


def _require_writable(file: Path) -> None:
    """Raise `OSError` if the file cannot be made."""
    if file.is_dir():
        raise IsADirectoryError(None, "it is a folder: name a file in it")
    trial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        trial.touch()
    finally:
        trial.unlink(missing_ok=True)
