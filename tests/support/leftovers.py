"""What killed runs may leave on a machine: processes, ports, mounts, loop devices, cgroups, and temporary files."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from harness.sandbox.cgroup import parents

WHOSE = ("environ", "mountinfo")
"""The files in /proc of a process that may contain the name of its run's folder."""

GRACE_S = 5.0
"""How many seconds processes may take to end after the process that started them."""

_GROUP = re.compile(r"box-(\d+)-[0-9a-f]+")
_UNFINISHED = re.compile(r"\..+|running\.json|draft\.(json|new)|workspace|home")
"""Names in a folder of runs that no run leaves when it ends."""


class Leftovers:
    """What the runs of a project leave. `folder` holds the project, and `temporary` is the TMPDIR of its runs.

    Call `note` with a process that the test has started, while that works. `found` names what is left of it, and each
    process that mentions the folder in its environment or its mounts. No mount below the folder may be visible to the
    rest of the machine, or else every process mentions it.
    """

    def __init__(self, folder: Path, runs: Path, temporary: Path) -> None:
        self._mark, self._runs, self._temporary = str(folder), runs, temporary
        self._seen: set[psutil.Process] = set()
        self._ports: set[int] = set()
        self._before = {*self._mounts(), *self._loops()}

    def note(self, root: psutil.Process, *, ports: bool = False) -> None:
        """Remember a process and its descendants. With `ports`, also remember where they listen."""
        with suppress(psutil.NoSuchProcess):
            family = {root, *root.children(recursive=True)}
            self._seen |= family
            for process in family if ports else ():
                self._ports.update(_listening(process))

    def kill(self) -> None:
        """Kill the noted processes that are left, and no others: a stranger may well mention the folder."""
        for process in self._seen:
            with suppress(psutil.NoSuchProcess):  # psutil compares the start time, so a reused pid is safe
                process.kill()

    def found(self) -> list[str]:
        """Return everything that is left, one line each."""
        psutil.wait_procs([process for process in self._processes() if _lives(process)], timeout=GRACE_S)
        return [
            *(f"process {process.pid}: {_command(process)}" for process in self._processes()),
            *(f"port {port}" for port in sorted(self._ports & _all_ports())),
            *(f"mount at {place}" for place in sorted(set(self._mounts()) - self._before)),
            *(f"loop device of {file}" for file in sorted(set(self._loops()) - self._before)),
            *(f"cgroup {group}" for group in self._groups()),
            *(f"temporary file {path.name}" for path in sorted(self._temporary.iterdir()) if not _of_pytest(path)),
            *(f"unfinished {path.relative_to(self._runs)}" for path in self._unfinished()),
        ]

    def _processes(self) -> set[psutil.Process]:
        mine = {psutil.Process(), *psutil.Process().parents()}
        named = {process for process in psutil.process_iter() if process not in mine and self._is_ours(process)}
        return {process for process in self._seen | named if _lives(process)}

    def _is_ours(self, process: psutil.Process) -> bool:
        with suppress(OSError):  # it is gone, or belongs to another user
            folder = Path("/proc", str(process.pid))
            return any(self._mark in (folder / file).read_text("utf-8", "replace") for file in WHOSE)
        return False

    def _mounts(self) -> Iterator[str]:
        places = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
        yield from (place for place in places if self._mark in place)

    def _loops(self) -> Iterator[str]:
        for file in Path("/sys/block").glob("loop*/loop/backing_file"):
            with suppress(OSError):  # it has just been freed
                if self._mark in (backing := file.read_text().strip()):
                    yield backing

    def _groups(self) -> Iterator[Path]:
        pids = {process.pid for process in self._seen}
        for folder in set(parents().folders.values()):
            yield from (path for path in sorted(folder.iterdir()) if _of(path.name, pids))

    def _unfinished(self) -> Iterator[Path]:
        for pattern in ("*", "*/*", "*/*/*"):
            for path in sorted(self._runs.glob(pattern)):
                within = path.relative_to(self._runs).parts
                aside = any(".earlier-" in part or part.endswith(".killed") for part in within)
                if _UNFINISHED.fullmatch(path.name) and not stat.S_ISLNK(path.lstat().st_mode) and not aside:
                    yield path


def _of_pytest(path: Path) -> bool:
    """Return whether pytest keeps this folder, as it does with the last three of its temporary folders."""
    return path.name.startswith("pytest-of-")


def _of(name: str, pids: Iterable[int]) -> bool:
    found = _GROUP.fullmatch(name)
    return found is not None and int(found[1]) in pids


def _listening(process: psutil.Process) -> Iterator[int]:
    with suppress(psutil.Error, OSError):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr:
                yield connection.laddr.port


def _all_ports() -> set[int]:
    return {one.laddr.port for one in psutil.net_connections("inet") if one.status == psutil.CONN_LISTEN and one.laddr}


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _command(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return "?"
