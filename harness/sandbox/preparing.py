"""What all kinds that seal prepare in the same way for a box: its folders, its disk, its limits and its filter."""

from __future__ import annotations

import stat
from pathlib import Path

from harness.case import SandboxConf
from harness.sandbox.base import Bounds, BoxRequest, SandboxError
from harness.sandbox.cgroup import parents
from harness.sandbox.disk import Disk, can_make_disks
from harness.sandbox.filesystem import PLACES
from harness.sandbox.keeper import PATIENCE
from harness.sandbox.uids import UidLease
from harness.untrusted.tree import give


def disk_of(request: BoxRequest, uid: UidLease | None) -> Disk | None:
    """Return a file system for workspace and home, or `None` if there is no limit or none can be made here.

    Raise `SandboxError` if it cannot be made.
    """
    if request.bounds.disk_bytes is None or uid is None or not can_make_disks():
        return None
    try:
        return Disk(request.workspace.parent, request.bounds.disk_bytes, PLACES, uid.uid)
    except OSError as error:
        raise SandboxError(
            f"cannot make a file system for a box: {error}\nsee `losetup` and the kernel's log"
        ) from error


def limits_of(conf: SandboxConf, bounds: Bounds) -> dict[str, int]:
    """Return the limits of each process. One file alone cannot grow far above the bound of all of them."""
    largest_file = conf.max_file_mb << 20
    if bounds.disk_bytes is not None:
        largest_file = min(largest_file, int(bounds.disk_bytes * PATIENCE))
    limits = {
        "RLIMIT_NPROC": conf.max_processes,
        "RLIMIT_NOFILE": conf.max_open_files,
        "RLIMIT_FSIZE": largest_file,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_RTPRIO": 0,
        "RLIMIT_NICE": 0,
    }
    if bounds.memory_bytes is not None and "memory" not in parents().folders:
        # JavaScript engines reserve much more address space than that, so its limit would not do
        limits["RLIMIT_DATA"] = bounds.memory_bytes
    return limits


def seccomp_filter(machine: str) -> bytes:
    """Return the filter of system calls for an architecture. Raise `SandboxError` if there is none."""
    path = Path(__file__).parent / "seccomp" / f"{machine}.bpf"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SandboxError(
            f"there is no filter of system calls for this machine's architecture ({machine})\n"
            f"add the architecture to {path.with_name('generate.py')} and run that"
        ) from None


def prepare_folder(directory: Path, uid: int | None) -> None:
    """Make the directory if it is missing, and give it and its contents to `uid`. Do not follow links.

    An earlier command may have taken the rights of the directory's owner away. They are given back.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if directory.is_symlink():
            raise SandboxError(f"{directory} is a symbolic link\ngive the directory itself")
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) | stat.S_IRWXU)
        if uid is not None:
            give(directory, uid)
    except OSError as error:
        raise SandboxError(f"cannot prepare {directory}: {error}\ncheck its place and permissions") from error
