"""Runs inside a box, and tries what a sealed process must not be able to do. It needs only the standard library.

It prints what it finds as a JSON object: `leaks`, a list of texts that is empty in a sealed box, `weaker`, what this
machine and user cannot guarantee, in the same form, and `held`, the names of the guarantees that hold.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

CLONE_NEWUSER = 0x10000000
SHELL = "/bin/sh"
"""A program of the system, which every box shows."""
HARMLESS = {b"", b"PWD=/"}
USERS = "own users"
"""The guarantee that uids inside are others than outside. Root's bubblewrap does without: each box has its own uid."""


def privileged() -> bool:
    """Return whether this process has root's uid or any capability, or could gain one."""
    return 0 in os.getresuid() or any(int(_status(f"Cap{kind}"), 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"))


def unfiltered() -> bool:
    """Return whether system calls are unfiltered, or setuid programs give new privileges."""
    return _status("Seccomp") != "2" or _status("NoNewPrivs") != "1"


def sees_environment() -> bool:
    """Return whether the environment of PID 1 reveals something about the host."""
    try:
        return bool(set(Path("/proc/1/environ").read_bytes().split(b"\0")) - HARMLESS)
    except PermissionError:
        return False


def writes(*paths: str) -> bool:
    """Return whether any of the paths can be written: a file opened for writing, a directory given a new file."""
    for path in paths:
        place = Path(path, "canary") if Path(path).is_dir() else Path(path)
        try:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT))
        except OSError:
            continue
        return True
    return False


def shows_secrets() -> bool:
    """Return whether the host's passwords show, or any file of a folder of the system that no box needs.

    A container engine makes mount points there, and an empty file that says so.
    """
    files = (name for path in ("/var", "/run", "/sys") for _, _, names in os.walk(path) for name in names)
    return Path("/etc/shadow").exists() or any(name != ".containerenv" for name in files)


def routed() -> bool:
    """Return whether there is a network interface besides loopback, or a route to an address outside."""
    interfaces = {line.partition(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address of a documentation network (RFC 5737)
        except OSError:
            return interfaces != {"lo"}
    return True


def talks_to_hypervisor() -> bool:
    """Return whether a vsock can be made, which a network namespace does not prevent."""
    try:
        socket.socket(40, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def makes_namespaces() -> bool:
    """Return whether a user namespace can be made, in which a process has all capabilities."""
    return bool(ctypes.CDLL(None).unshare(CLONE_NEWUSER) == 0)


def sees_processes() -> bool:
    """Return whether any process is visible besides init and this one."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()} != {1, os.getpid()}  # noqa: PTH208 - names


def makes_nodes() -> bool:
    """Return whether this process can make a device file, which only Landlock prevents for the device 0:0."""
    node = Path("/dev/shm", f"canary-{os.getpid()}")  # noqa: S108 - the box's own
    try:
        os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(0, 0))
    except OSError:
        return False
    node.unlink()
    return True


def reads_about_host() -> bool:
    """Return whether /proc tells about the host more than programs need."""
    for name in ("diskstats", "modules", "locks", "cmdline"):
        try:
            if Path("/proc", name).read_bytes():
                return True
        except OSError:
            continue
    return False


def shares_user_namespace() -> bool:
    """Return whether uids mean the same inside and outside."""
    return Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]


def sees_lock(path: str) -> bool:
    """Return whether the probe's lock on a file shows. A box with views of its own has another inode."""
    with Path(path).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


MUST: dict[str, tuple[str, Callable[[], bool]]] = {
    "no privileges": ("it runs as root or with capabilities", privileged),
    "filtered system calls": ("no seccomp filter is on, or no_new_privs is off", unfiltered),
    "no variables of the host": ("the environment of PID 1 can be read", sees_environment),
    "read-only settings of the kernel": (
        "kernel settings can be written",
        lambda: writes("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"),
    ),
    "read-only system": ("system files can be written", lambda: writes("/", "/usr", "/etc", "/dev", "/sandbox")),
    "no files of the host": ("the host's secrets show", shows_secrets),
    "no network": ("the network can be reached", routed),
    "no vsock": ("vsock is open", talks_to_hypervisor),
    "no further namespaces": ("namespaces can be made", makes_namespaces),
    "no processes of the host": ("processes of the host show", sees_processes),
}
"""What must hold in any sealed box, by the guarantee's name: the words if it does not hold, and whether it does not."""

GRADED: dict[str, tuple[str, Callable[[], bool]]] = {
    "Landlock": (
        "processes in a box can write to each other's standard error (no Landlock: it needs Linux 5.19)",
        makes_nodes,
    ),
    "own locks on files": (
        "boxes can see each other's locks and uses of the files that they share (they have no overlays)",
        lambda: any(sees_lock(path) for path in (os.path.realpath(sys.executable), SHELL)),
    ),
    "own locks on devices": (
        "boxes can see each other's locks and uses of devices such as /dev/null (they have none of their own)",
        lambda: sees_lock(os.devnull),
    ),
    "small /proc": ("boxes can read about the host's disks, modules and locks in /proc", reads_about_host),
}
"""What only some kinds, kernels and users prevent."""


def _status(field: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{field}:"))


def _lacking(tries: dict[str, tuple[str, Callable[[], bool]]]) -> dict[str, str]:
    """Return what does not hold, by name, in words."""
    return {name: words for name, (words, found) in tries.items() if found()}


def report() -> dict[str, list[str]]:
    """Make all tries, and return what they find."""
    leaks, weaker = _lacking(MUST), _lacking(GRADED)
    held = [name for name in (*MUST, *GRADED) if name not in leaks | weaker]
    own_users = [] if shares_user_namespace() else [USERS]
    return {"leaks": list(leaks.values()), "weaker": list(weaker.values()), "held": [*held, *own_users]}


if __name__ == "__main__":
    print(json.dumps(report()))
