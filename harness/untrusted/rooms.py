"""Rooms: folders that processes in a box can see, under a name on the host that says nothing.

A process in a box can read the host's names of its folders, in `/proc/self/mountinfo` and in its descriptors. In the
folder of a case, these would name the case, the suite and the run. So a room lies beside the folder of the run. A link
in that folder, of the same name, tells which run it belongs to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from harness.untrusted.removal import discard
from harness.untrusted.tree import CHANGE, open_folder

ROOM = ".room-"
"""The beginning of the name of a room."""


def make_room(run: Path) -> Path:
    """Return a new and empty room of a run, for its owner alone. Raise `OSError` if none can be made.

    If nothing can be written beside the folder of the run, the room lies in it.
    """
    try:
        room = Path(mkdtemp(dir=run.parent, prefix=ROOM))
    except OSError:
        return Path(mkdtemp(dir=run, prefix=ROOM))
    (run / room.name).symlink_to(Path("..", room.name))
    return room


def place_of(link: Path) -> Path:
    """Return where the room is to which an entry in the folder of a run leads. The entry may be the room itself."""
    return link.parent.parent / link.name if link.is_symlink() else link


def discard_room(room: Path, run: Path) -> None:
    """Remove a room of a run. If that takes long, its link stays until the end of the run. Never raise."""
    with suppress(OSError):
        for folder in room.iterdir():
            discard(folder)
        room.rmdir()
        (run / room.name).unlink(missing_ok=True)


class Lodging:
    """Folders of a case that lie in a room while a box shows them.

    Links stand in the places of the `folders`. Those that lie in a room already stay there. `folder_of` says where a
    folder is. Raise `OSError` if one cannot be moved.
    """

    def __init__(self, run: Path, folders: Iterable[Path]) -> None:
        self.room = make_room(run)
        self._run, self._moved = run, dict[Path, Path]()
        try:
            for folder in folders:
                self._move(folder)
        except BaseException:
            self.leave()
            raise

    def folder_of(self, folder: Path) -> Path:
        """Return where a folder is: in the room, or where it was if it is none of those that moved."""
        return self._moved.get(folder) or lodged(folder) or folder

    def file(self, path: Path) -> Path:
        """Return a second name, in the room, of a file that is made if it is missing.

        Its own name, if the file system has no second names.
        """
        with suppress(OSError):
            path.touch(0o644)
            (self.room / path.name).hardlink_to(path)
            return self.room / path.name
        return path

    def leave(self) -> None:
        """Move the folders back, and remove the room. A second call does nothing. Raise `OSError`."""
        while self._moved:
            folder = next(iter(self._moved))
            bring_back(folder)
            del self._moved[folder]
        discard_room(self.room, self._run)

    def _move(self, folder: Path) -> None:
        if folder.is_symlink():
            return
        new = self.room / folder.name
        _movable(folder)
        folder.rename(new)
        try:
            folder.symlink_to(os.path.relpath(new, folder.parent))
        except BaseException:
            new.rename(folder)
            raise
        self._moved[folder] = new


def lodged(folder: Path) -> Path | None:
    """Return where a folder is for which a link into a room stands. Return `None` if there is no such link.

    Other links are not followed: the folder of a case may come from anywhere.
    """
    with suppress(OSError):
        case = folder.parent.resolve()
        there = Path(os.path.normpath(case / folder.readlink()))
        room, run = there.parent, case.parent
        near = room.parent in (run, run.parent) and not room.is_symlink()
        if near and room.name.startswith(ROOM) and there.name == folder.name:
            return there
    return None


def bring_back(folder: Path) -> None:
    """Move a folder back for which a link into a room stands, and remove the link. Raise `OSError` if it cannot move.

    A process that was killed leaves such links. If the room is gone, only the link is removed.
    """
    there = lodged(folder)
    if there is None:
        return
    folder.unlink()
    with suppress(FileNotFoundError):
        _movable(there)
        there.rename(folder)


def _movable(folder: Path) -> None:
    """Give the owner of a folder the right to write to it, without which it does not move. Links are not followed."""
    os.close(open_folder(folder, rights=CHANGE))
