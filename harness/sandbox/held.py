"""What processes hold without a name: deleted files that are still open or mapped, and files in memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from msgspec import Struct

_BLOCK = 512
_LISTS_CHILDREN = Path("/proc/thread-self/children").exists()  # not every kernel is built with it


class Held(Struct, frozen=True):
    """Bytes that processes hold in files without a name, on disk and in memory."""

    disk_bytes: int = 0
    memory_bytes: int = 0


def held(pids: Iterable[int], disks: frozenset[int], counted: frozenset[int] = frozenset()) -> Held:
    """Return what these processes hold in files without a name. Each file counts once.

    `disks` are the devices (`st_dev`) on which a file is on disk. `counted` are devices whose files are counted
    otherwise. Any other file is in memory. A file that is only on its way in a message between sockets is not seen.
    """
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids:
        for status in (*_open(pid), *_mapped(pid)):
            if status.st_nlink == 0 and stat.S_ISREG(status.st_mode):
                sizes[status.st_dev, status.st_ino] = status.st_blocks * _BLOCK
    on_disk = sum(size for (device, _), size in sizes.items() if device in disks)
    return Held(on_disk, sum(size for (device, _), size in sizes.items() if device not in disks | counted))


def _open(pid: int) -> Iterator[os.stat_result]:
    """Yield the status of each open file."""
    folder = Path("/proc", str(pid), "fd")
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - names are enough, and there may be thousands
            with suppress(OSError):
                yield (folder / name).stat()


def _mapped(pid: int) -> Iterator[os.stat_result]:
    """Yield the status of each mapped file without a name, which may be closed. Only root may look at it."""
    with suppress(OSError):
        for line in Path("/proc", str(pid), "maps").read_text(errors="replace").splitlines():
            if line.endswith("(deleted)"):
                with suppress(OSError):
                    yield Path("/proc", str(pid), "map_files", _canonical(line.split(" ", 1)[0])).stat()


def _canonical(addresses: str) -> str:
    """Return the name in `map_files` of a range of addresses, as `maps` writes it: without leading zeros."""
    return "-".join(f"{int(address, 16):x}" for address in addresses.split("-"))


def descendants(pid: int) -> list[int]:
    """Return a process and all its descendants, without those that have ended."""
    if not _LISTS_CHILDREN:
        return _descendants_by_parent(pid)
    found = [pid]
    for parent in found:  # it grows meanwhile
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):  # noqa: PTH208 - names are enough
                with suppress(OSError):
                    found += map(int, Path(f"/proc/{parent}/task/{thread}/children").read_text().split())
    return found


def _descendants_by_parent(pid: int) -> list[int]:
    try:
        return [pid, *(process.pid for process in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [pid]
