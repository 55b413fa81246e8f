"""Folders of sessions that run again. They are set aside under another name, and nothing in them is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path

KILLED = ".killed"
"""The end of the name of a folder whose session killed its worker and ran once more."""

_EARLIER = ".earlier-"
"""What comes before the number in the name of a folder whose session ran again in a resumed run."""

_ASIDE = re.compile(rf".+({re.escape(KILLED)}|{re.escape(_EARLIER)}[1-9]\d*)")


def is_aside(name: str) -> bool:
    """Return whether a folder of this name was set aside."""
    return _ASIDE.fullmatch(name) is not None


def asides(folder: Path) -> list[Path]:
    """Return the folders that were set aside for the session in `folder`."""
    killed = folder.with_name(f"{folder.name}{KILLED}")
    return [*([killed] if killed.exists() else []), *takewhile(Path.exists, _names(folder, killed=False))]


def set_aside(folder: Path, *, killed: bool = False) -> Path:
    """Rename the folder of a session, so that the session can run again. Return its new path.

    `killed` says that the session killed its worker. Raise `OSError` if the folder cannot be renamed.
    """
    new = next(path for path in _names(folder, killed=killed) if not path.exists())
    folder.rename(new)
    return new


def next_aside(folder: Path) -> Path:
    """Return the path that `set_aside` gives the folder."""
    return next(path for path in _names(folder, killed=False) if not path.exists())


def _names(folder: Path, *, killed: bool) -> Iterator[Path]:
    if killed:
        yield folder.with_name(f"{folder.name}{KILLED}")
    yield from (folder.with_name(f"{folder.name}{_EARLIER}{number}") for number in count(1))
