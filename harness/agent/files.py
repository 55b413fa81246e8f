"""Files of a session: configuration, written where an agent may have been before, and what an attempt has left."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_inside(folder: Path, name: PurePosixPath, text: str) -> None:
    """Write `text` to `folder`/`name`, replacing what is there; folders are made, all owned as `folder` is.

    Raises `OSError` where a parent is no folder, and `ValueError` where `name` leads outside.
    """
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"{name} leads out of {folder}")
    here = os.open(folder, _FOLDER)
    owner = os.fstat(here)
    try:
        for part in name.parts[:-1]:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=here)
                os.chown(part, owner.st_uid, owner.st_gid, dir_fd=here, follow_symlinks=False)
            here, outer = os.open(part, _FOLDER, dir_fd=here), here
            os.close(outer)
        with suppress(FileNotFoundError):
            os.unlink(name.name, dir_fd=here)
        file = os.open(name.name, _NEW_FILE, 0o644, dir_fd=here)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            os.fchown(file, owner.st_uid, owner.st_gid)
            stream.write(text)
    finally:
        os.close(here)


def holds(folder: Path, patterns: Iterable[str]) -> bool:
    """Return whether any file below `folder` matches one of the glob patterns."""
    return any(path.is_file() for pattern in patterns for path in folder.glob(pattern))


def set_aside(folder: Path, number: int, *, fresh: bool) -> None:
    """Move what attempt `number` has left in a case's folder to `attempt-NUMBER/` in it.

    That is its stream, its standard error and the gateway's ledger; with `fresh`, workspace and home too.
    """
    aside = folder / f"attempt-{number}"
    aside.mkdir()
    for name in ("stream.jsonl", "stderr.log", "gateway.jsonl", *(("workspace", "home") if fresh else ())):
        with suppress(FileNotFoundError):
            (folder / name).rename(aside / name)
