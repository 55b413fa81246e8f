"""Which runs of a folder a reader looks at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.results.run_folder import CASES, RESULTS, suite_of, time_of
from harness.visible import visible

NEWEST = 20
"""How many of the newest runs are shown if the reader chooses none."""

_SUITE = "suite:"
_LAST = "last:"
_ALL = "all"


def runs_in(folder: Path) -> list[str]:
    """Return the names of the runs in a folder, oldest first. It is empty if the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            there = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    shown = (name for name in there if not name.startswith(".") and _is_text(name))
    found = [(began, name) for name in shown if (began := _began(folder / name))]
    return [name for _, name in sorted(found)]


def suites(names: Sequence[str]) -> list[str]:
    """Return the suites of these runs, sorted."""
    return sorted({suite for name in names if (suite := suite_of(name))})


def chosen(names: Sequence[str], choice: str) -> list[str]:
    """Return the runs that a reader chose, oldest first.

    `choice` is `all`, `last:N`, `suite:NAME` (the newest of that suite), or the name of a run. Anything else is the
    newest runs.
    """
    if choice == _ALL:
        return list(names)
    if named := [name for name in names if visible(name) == choice]:
        return named
    if choice.startswith(_SUITE):
        return [name for name in names if suite_of(name) == choice.removeprefix(_SUITE)][-NEWEST:]
    count = choice.removeprefix(_LAST)
    most = int(count) if choice.startswith(_LAST) and count.isascii() and count.isdigit() and len(count) < 7 else NEWEST
    return list(names)[-(most or NEWEST) :]


def _is_text(name: str) -> bool:
    """Return whether the bytes of a name are UTF-8. JSON cannot hold others."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _began(run: Path) -> datetime | None:
    """Return when a run began, by its name, or by the time of its files. Return `None` if it is not a run."""
    for name in (CASES, RESULTS):
        try:
            changed = (run / name).stat().st_mtime
        except OSError:
            continue
        return time_of(run.name) or datetime.fromtimestamp(changed, UTC)
    return None
