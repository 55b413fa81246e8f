"""Words for the entries of a folder that an agent could write to. They are safe to print."""

from __future__ import annotations

import stat
from pathlib import PurePosixPath

_KINDS = {
    stat.S_IFLNK: "a symlink",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def kind(mode: int) -> str:
    """Return what an entry of this mode is, if it is not a regular file."""
    return _KINDS.get(stat.S_IFMT(mode), "of an unknown kind")


def shown(path: PurePosixPath | str) -> str:
    """Return a name that is safe to print. Escapes and broken encodings are spelled out."""
    name = str(path)
    return name if name.isprintable() else ascii(name)


def size(count: int) -> str:
    """Return a number of bytes in a short form: `1.5 MB`."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count} bytes"
