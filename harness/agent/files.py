"""Files of a session: its configuration, written into folders that an agent may control, and what an attempt left."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from harness.case_folder import CaseFolder
from harness.sandbox.tree import CHANGE, open_folder

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_inside(folder: Path, name: PurePosixPath, text: str) -> None:
    """Write `text` to `folder`/`name`, replacing any file there.

    Missing folders are made. They and the file get the owner of `folder`. Links are not followed. Raise `OSError` if a
    parent is not a folder, and `ValueError` if `name` leads outside.
    """
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"{name} leads outside {folder}")
    here = open_folder(folder, rights=CHANGE)
    owner = os.fstat(here)
    try:
        for part in name.parts[:-1]:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=here)
                os.chown(part, owner.st_uid, owner.st_gid, dir_fd=here, follow_symlinks=False)
            here, outer = open_folder(part, here, rights=CHANGE), here
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


def set_aside(folder: CaseFolder, number: int, *, fresh: bool) -> None:
    """Move the files that attempt `number` left in a case's folder to a folder of its own.

    These are the prompt and the instructions, the stream, standard error and the gateway's ledger. If `fresh` is true,
    the next attempt starts from the beginning, so the workspace and the home are moved too.
    """
    aside = folder.attempt(number)
    aside.path.mkdir()
    left = [folder.prompt, folder.instructions, folder.stream, folder.stderr, folder.ledger]
    if fresh:
        left += [folder.workspace, folder.home]
    for path in left:
        with suppress(FileNotFoundError):
            path.rename(aside.path / path.name)
