"""Takes the folder of a case into a merged run. Older or killed runs may hold what an agent left as plain files."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

from msgspec import Struct

from harness.case_folder import CaseFolder
from harness.private import private_folder
from harness.secrecy.scan import scan
from harness.secrecy.withholding import warnings, withhold
from harness.untrusted.archive import Search, pack
from harness.untrusted.rooms import lodged
from harness.untrusted.traps import trap

_DEPTH = 16
_CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def take(source: Path, target: Path, secrets: Mapping[str, str]) -> list[str]:
    """Give the files of a case's folder a second name in the new folder `target`, or copy them to another file system.

    What an agent could write to as plain files is packed into archives. Left out are links, FIFOs and the like, folders
    that cannot be read or that are nested too deep, and whatever a program runs by itself (`harness.untrusted.traps`).
    If there are plain folders, nobody has searched the case for keys. Then files that hold one of `secrets`, or a key
    in a known form, are left out. Return the warnings of that. Raise `OSError` if `target` cannot be written.
    """
    private_folder(target)
    agents = CaseFolder(source).agents()
    _take(source, target, _DEPTH, _Agents(agents, partial(scan, secrets=secrets)))
    return warnings(withhold(target, secrets)) if any(map(os.path.lexists, agents)) else []


class _Agents(Struct, frozen=True):
    """The folders that an agent could write to, and the search for what must not be kept."""

    folders: Collection[Path]
    search: Search


def _take(source: Path, target: Path, depth: int, agents: _Agents) -> None:
    for name, place, mode in _entries(source):
        if stat.S_ISREG(mode):
            _link(place, target / name)
        elif source / name in agents.folders:
            pack(place, target, search=agents.search)
        elif stat.S_ISDIR(mode) and depth:
            (target / name).mkdir(mode=0o700)
            _take(place, target / name, depth - 1, agents)


def _entries(folder: Path) -> Iterator[tuple[str, Path, int]]:
    """Yield the name, the place and the mode of each entry that may be taken, sorted.

    What a killed run left in a room is not at its place.
    """
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:  # another owner closed it
        return
    for name in names:
        place = lodged(folder / name) or folder / name
        try:
            mode = place.lstat().st_mode
        except OSError:  # the room is gone
            continue
        if trap(name, is_folder=stat.S_ISDIR(mode)) is None:
            yield name, place, mode


def _link(source: Path, target: Path) -> None:
    """Give the file a second name. Copy it if that is not possible, for instance between file systems."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    """Copy a file that may be unreadable. Raise `OSError` if `target` cannot be written."""
    try:
        reading = os.open(source, _READ)
    except OSError:
        return
    with os.fdopen(reading, "rb") as original, os.fdopen(os.open(target, _WRITE, 0o600), "wb") as copy:
        while chunk := original.read(_CHUNK):
            copy.write(chunk)
