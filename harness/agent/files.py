"""Files of a session: its configuration, written into folders that an agent may control, and what an attempt left."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from secrets import token_hex

from harness.case_folder import CaseFolder
from harness.untrusted.tree import CHANGE, open_folder

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_inside(folder: Path, name: PurePosixPath, text: str) -> None:
    """Write `text` to `folder`/`name`, replacing any file there.

    Missing folders are made. They and the file get the owner of `folder`. Links are not followed. What an agent put in
    the way is removed, or renamed if it is a folder. Raise `OSError` if `folder` cannot be written, and `ValueError` if
    `name` leads outside.
    """
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"{name} leads outside {folder}")
    here = open_folder(folder, rights=CHANGE)
    owner = os.fstat(here)
    try:
        for part in name.parts[:-1]:
            here, outer = _entered(part, here, owner), here
            os.close(outer)
        _make_way(name.name, here)
        file = os.open(name.name, _NEW_FILE, 0o644, dir_fd=here)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            os.fchown(file, owner.st_uid, owner.st_gid)
            stream.write(text)
    finally:
        os.close(here)


def link_inside(folder: Path, name: str, target: str) -> None:
    """Make a link to a path that exists in the box only. Leave a file or folder of this name alone. Raise `OSError`."""
    here = open_folder(folder, rights=CHANGE)
    owner = os.fstat(here)
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                return
            os.unlink(name, dir_fd=here)
        os.symlink(target, name, dir_fd=here)
        os.chown(name, owner.st_uid, owner.st_gid, dir_fd=here, follow_symlinks=False)
    finally:
        os.close(here)


def _entered(name: str, parent: int, owner: os.stat_result) -> int:
    """Open the folder of this name in an open folder, and make it if it is missing or is no folder."""
    with suppress(OSError):
        return open_folder(name, parent, rights=CHANGE)
    _make_way(name, parent)
    os.mkdir(name, 0o755, dir_fd=parent)
    os.chown(name, owner.st_uid, owner.st_gid, dir_fd=parent, follow_symlinks=False)
    return open_folder(name, parent, rights=CHANGE)


def _make_way(name: str, parent: int) -> None:
    """Remove what has this name in an open folder. A folder is only renamed, because it may take long to remove."""
    with suppress(FileNotFoundError):
        try:
            os.unlink(name, dir_fd=parent)
        except IsADirectoryError:
            os.rename(name, f"{name}.{token_hex(4)}", src_dir_fd=parent, dst_dir_fd=parent)


def holds(folder: Path, patterns: Iterable[str]) -> bool:
    """Return whether any file below `folder` matches one of the glob patterns."""
    try:
        return any(path.is_file() for pattern in patterns for path in folder.glob(pattern))
    except OSError:  # an agent may have put anything there
        return False


def set_aside(folder: CaseFolder, number: int, *, fresh: bool) -> None:
    """Move the files that attempt `number` left in a case's folder to a folder of its own.

    These are the prompt and the instructions, the stream, standard error and the gateway's ledger. If `fresh` is true,
    the next attempt starts from the beginning, so the workspace and the home are moved too.
    """
    aside = folder.attempt(number)
    aside.make()
    left = [folder.prompt, folder.instructions, folder.stream, folder.stderr, folder.ledger]
    if fresh:
        left += [folder.workspace, folder.home]
    for path in left:
        with suppress(FileNotFoundError):
            if path in {folder.workspace, folder.home}:  # only its owner's right to write lets a folder move
                os.close(open_folder(path, rights=CHANGE))
            path.rename(aside.path / path.name)
