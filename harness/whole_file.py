"""Writes files that the user names: whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def written(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file in one step. What is there already and is no plain file, such as a pipe, is written to as it is.

    So a device such as `/dev/null` stays what it is, even if root writes to it. `write` gets the path to write to. An
    `OSError` about the file names `path`.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        write(path)
        return
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(new)
        new.replace(path)
    except OSError as error:
        if error.filename == str(new):
            error.filename = str(path)
        raise
    finally:
        new.unlink(missing_ok=True)
