"""Files that survive a crash of the machine as soon as they are written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def write_durably(path: Path, parts: Iterable[bytes]) -> None:
    """Write or replace a file in one step. When this returns, the file survives a crash of the machine.

    A process that is killed meanwhile leaves a hidden file beside it: see `unfinished`. Raise `OSError`.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with new.open("wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    flush_names(path.parent)


def flush_names(folder: Path) -> None:
    """Make the names of new files in a folder survive a crash of the machine. Raise `OSError`."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def unfinished(path: Path) -> Iterator[Path]:
    """Yield what killed processes have left of this file. No process may be writing it."""
    yield from (one for one in path.parent.glob(f".{path.name}.*") if one.suffix[1:].isdigit())
