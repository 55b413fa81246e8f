"""Control groups: the kernel's own limits for all processes of a box together, on machines that let us make groups.

Both versions of cgroups are used, whichever has the controller. A user without any still gets a sandbox, whose limits
are then measured instead (`harness/sandbox/monitor.py`).
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from msgspec import Struct

CONTROLLERS = ("memory", "pids", "cpu")
_NAME = re.compile(r"box-(\d+)-[0-9a-f]+")
_REMOVAL_S = 1.0
_SOCKET_BYTES = 32 * 1024 * 1024
"""What may wait in the TCP and UDP sockets of a group, where the kernel does not count it as memory.

Beyond it, each socket can still take one packet.
"""
_REACHED = 0.95
"""The share of a limit that was reached if the kernel killed a process because of it."""


class Parents(Struct, frozen=True):
    """The folders in which groups can be made, by controller. `unified` says that they are of cgroup v2."""

    folders: Mapping[str, Path]
    unified: bool


def parents() -> Parents:
    """Return where this process can make groups. There are no folders if it cannot.

    The answer is looked up once for each user that this process becomes. Groups of processes that were killed are
    removed then.
    """
    return _looked_up(os.geteuid())


@cache
def _looked_up(_uid: int) -> Parents:
    found = look(Path("/proc/self"))
    sweep(found)
    return found


def sweep(found: Parents) -> None:
    """Remove the empty groups of processes that no longer exist, which were killed."""
    for folder in set(found.folders.values()):
        with suppress(OSError):
            for group in folder.iterdir():
                name = _NAME.fullmatch(group.name)
                if name and not Path("/proc", name[1]).exists():
                    _removed(group)


def look(proc: Path) -> Parents:
    """Return what `proc` (normally `/proc/self`) says about the cgroups of its process, tried by making a group."""
    own = _paths(proc / "cgroup")
    mounts = list(_mounts(proc / "mountinfo"))
    split = Parents({name: folder for name, folder in _split(mounts, own) if _makes_groups(folder)}, unified=False)
    if "memory" in split.folders:
        return split
    for folder in _unified(mounts, own):
        enabled = _words(folder / "cgroup.subtree_control")
        usable = {name: folder for name in CONTROLLERS if name in enabled}
        if "memory" in usable and os.access(folder / "cgroup.procs", os.W_OK) and _makes_groups(folder):
            return Parents(usable, unified=True)
    return split


class Group:
    """A group of processes with limits of its own. A limit of `None` is not set.

    `tasks` is the number of processes and threads. A group without limits still gives its processes together the same
    share of the CPU as any other group. Raise `OSError` if the group cannot be made.
    """

    def __init__(self, parents: Parents, *, memory_bytes: int | None = None, tasks: int | None = None) -> None:
        name = f"box-{os.getpid()}-{secrets.token_hex(4)}"
        self._unified = parents.unified
        self._folders = {controller: folder / name for controller, folder in parents.folders.items()}
        for folder in set(self._folders.values()):
            folder.mkdir(exist_ok=True)
        if memory_bytes is not None and self.bounds_memory:
            self._limit_memory(memory_bytes)
        if tasks is not None and "pids" in self._folders:
            (self._folders["pids"] / "pids.max").write_text(str(tasks))

    @property
    def bounds_memory(self) -> bool:
        """Whether the kernel keeps the group's memory below its limit."""
        return "memory" in self._folders

    @property
    def bounds_sockets(self) -> bool:
        """Whether the buffers of TCP and UDP sockets count as the group's memory. In cgroup v1, they do not."""
        return self._unified

    def add(self, pid: int) -> None:
        """Put a process into the group. Its later children belong to it too. Raise `OSError` if it cannot be moved."""
        for folder in set(self._folders.values()):
            (folder / "cgroup.procs").write_text(str(pid))

    def memory_bytes(self) -> int:
        """Return the memory that the group holds, without the cache of files.

        Shared and unlinked memory count, and so do the buffers of sockets.
        """
        folder = self._folders["memory"]
        used = _number(folder / ("memory.current" if self._unified else "memory.usage_in_bytes"))
        used += _number(folder / "memory.kmem.tcp.usage_in_bytes")
        statistics = _table(folder / "memory.stat")
        prefix = "" if self._unified else "total_"
        return max(0, used - sum(statistics.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive")))

    def ran_out_of_memory(self) -> bool:
        """Return whether the kernel has killed a process of the group because of the group's own memory limit."""
        folder = self._folders["memory"]
        if self._unified:
            events = _table(folder / "memory.events")
            return events.get("oom", 0) > 0 and events.get("oom_kill", 0) > 0
        most, limit = (_number(folder / f"memory.{name}_in_bytes") for name in ("max_usage", "limit"))
        reached = most > _REACHED * limit  # newer kernels no longer count in memory.failcnt
        return reached and _table(folder / "memory.oom_control").get("oom_kill", 0) > 0

    def processes(self) -> list[int]:
        """Return the ids of the group's processes."""
        folder = next(iter(self._folders.values()))
        return [int(pid) for pid in _words(folder / "cgroup.procs")]

    def kill(self) -> None:
        """Kill the group's processes, and wait for about a second until they have ended."""
        if "pids" in self._folders:
            (self._folders["pids"] / "pids.max").write_text("0")  # from now on, none can fork
        deadline = time.monotonic() + _REMOVAL_S
        while (pids := self.processes()) and time.monotonic() < deadline:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)

    def remove(self) -> None:
        """Remove the group. Its processes must have ended. What cannot be removed is left for the next run."""
        deadline = time.monotonic() + _REMOVAL_S
        for folder in set(self._folders.values()):
            while not _removed(folder) and time.monotonic() < deadline:
                time.sleep(0.01)  # the last process is still being taken out

    def _limit_memory(self, limit: int) -> None:
        folder = self._folders["memory"]
        swap = folder / ("memory.swap.max" if self._unified else "memory.memsw.limit_in_bytes")
        (folder / ("memory.max" if self._unified else "memory.limit_in_bytes")).write_text(str(limit))
        sockets = folder / "memory.kmem.tcp.limit_in_bytes"
        if not self._unified and sockets.exists():  # version 1 counts the buffers of TCP and UDP apart, and only then
            sockets.write_text(str(min(limit, _SOCKET_BYTES)))
        if swap.exists():  # a kernel without accounting of swap lacks the file
            swap.write_text("0" if self._unified else str(limit))


def _paths(file: Path) -> dict[str, str]:
    """Return the path of this process's group for each controller of cgroup v1, and for v2 under the name ""."""
    lines = (line.split(":", 2) for line in _lines(file))
    return {name: path for _, names, path in lines for name in names.split(",")}


def _mounts(file: Path) -> Iterator[tuple[str, set[str], str, Path]]:
    """Yield each mounted hierarchy: its type, its options, the path that it shows, and where it is mounted."""
    for line in _lines(file):
        mount, _, about = line.partition(" - ")
        kind, _, *options = about.split(" ")
        if kind in {"cgroup", "cgroup2"}:
            shown, place = mount.split(" ")[3:5]
            yield kind, set(",".join(options).split(",")), shown, Path(place)


def _split(mounts: list[tuple[str, set[str], str, Path]], own: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Yield the folder of this process's own group for each controller of cgroup v1."""
    for kind, options, shown, place in mounts:
        for name in CONTROLLERS:
            if kind == "cgroup" and name in options and name in own and (folder := _inside(place, shown, own[name])):
                yield name, folder


def _unified(mounts: list[tuple[str, set[str], str, Path]], own: Mapping[str, str]) -> Iterator[Path]:
    """Yield this process's own group of cgroup v2 and then each group above it.

    A group that has processes of its own cannot have limited groups inside, so the nearest that can is often above.
    """
    for kind, _, shown, place in mounts:
        if kind == "cgroup2" and "" in own and (folder := _inside(place, shown, own[""])):
            yield folder
            yield from (above for above in folder.parents if above.is_relative_to(place))


def _inside(place: Path, shown: str, path: str) -> Path | None:
    """Return the folder of a group, or `None` if it is not visible. The folder `shown` is mounted at `place`."""
    if ".." in path.split("/") or not Path(path).is_relative_to(shown):
        return None
    return place / Path(path).relative_to(shown)


def _makes_groups(folder: Path) -> bool:
    trial = folder / f"box-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        trial.mkdir()
    except OSError:
        return False
    return _removed(trial)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _number(file: Path) -> int:
    return int("".join(_lines(file)) or 0)


def _table(file: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in _lines(file))}
