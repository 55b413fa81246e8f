"""Whether machines that share a folder can lock files in it, so that they can share a budget there.

The mount tells it: what a program on one machine can try does not show whether another machine sees the lock. In
doubt, the answer is no, and each part then has its share of the budgets.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Final

from msgspec import Struct

_MOUNTS = Path("/proc/self/mountinfo")
_TRIED_S = 30.0
_OWN: Final = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay", "tmpfs", "ramfs", "bcachefs"}
)
"""File systems of one machine."""

_ALWAYS: Final = frozenset({"gpfs", "ceph", "gfs2", "ocfs2", "cifs", "smb3"})
"""File systems whose locks hold on all machines."""

_OTHER_PROCESS = """\
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(7)
"""


class Locking(Struct, frozen=True):
    """Whether a folder allows locks that all machines of a launch keep, and how that is known."""

    holds: bool
    why: str


def locking(folder: Path, *, machines: int) -> Locking:
    """Return whether `machines` machines can lock files in this folder. Raise `OSError` if nothing can lock there."""
    _require_locks(folder)
    kind, options = _mount_of(folder, _MOUNTS.read_text().splitlines())
    if machines == 1:
        return Locking(holds=True, why=f"one machine, {kind}")
    return judge(kind, options)


def judge(kind: str, options: Iterable[str]) -> Locking:
    """Return whether a file system of this kind, mounted with these options, has locks that hold on all machines."""
    doubt = _doubt(kind, {*options})
    return Locking(holds=doubt is None, why=doubt or f"{kind} keeps locks for all nodes")


def _doubt(kind: str, options: Set[str]) -> str | None:
    """Return why the locks of a file system may not hold on all machines, or `None` if they do."""
    if kind in {"nfs", "nfs4"}:
        own = sorted(one for one in options if one == "nolock" or re.fullmatch("local_lock=(all|flock|posix)", one))
        if own:
            return f"{kind} is mounted with {own[0]}: each node keeps its locks for itself"
        if kind == "nfs" and not any(one.startswith("vers=4") for one in options):
            return "NFS before version 4: a node that dies keeps its locks"
        return None
    if kind == "lustre":
        return None if "flock" in options else "lustre is not mounted with flock: a node's locks are its own"
    if kind in _ALWAYS:
        return None
    return (
        f"{kind} belongs to one machine" if kind in _OWN else f"nobody knows whether {kind} keeps locks for all nodes"
    )


def _require_locks(folder: Path) -> None:
    """Raise `OSError` if a second process here does not see a lock of this one."""
    file = folder / f".locking-{os.getpid()}"
    try:
        with file.open("w+b") as opened:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            command = [sys.executable, "-c", _OTHER_PROCESS, str(file)]
            if subprocess.run(command, timeout=_TRIED_S, check=False).returncode != 7:
                raise OSError(None, "a second process does not see the locks of the first", str(folder))
    finally:
        file.unlink(missing_ok=True)


def _mount_of(folder: Path, mounts: Iterable[str]) -> tuple[str, list[str]]:
    """Return the kind and the options of the file system that a folder is on, from lines as of mountinfo (proc(5))."""
    path, found = str(folder.resolve()), ("", "unknown", list[str]())
    for line in mounts:
        front, _, back = line.partition(" - ")
        place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), front.split()[4])
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(found[0]):
            kind, _source, of_disk = back.split(" ", 2)
            found = place, kind, [*front.split()[5].split(","), *of_disk.split(",")]
    return found[1], found[2]
