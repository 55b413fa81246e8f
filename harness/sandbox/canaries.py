"""Runs inside a box, and tries what a sealed process must not be able to do. It needs only the standard library.

It prints what it finds as a JSON object: `leaks`, a list of texts that is empty in a sealed box, and `weaker`, the
guarantees that this machine and user cannot give, in the same form.
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


def sees_lock(path: str) -> bool:
    """Return whether the probe's lock on a file shows. A box with views of its own has another inode."""
    with Path(path).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


CANARIES: dict[str, Callable[[], bool]] = {
    "it runs as root or with capabilities": privileged,
    "no seccomp filter is on, or no_new_privs is off": unfiltered,
    "the environment of PID 1 can be read": sees_environment,
    "kernel settings can be written": lambda: writes("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"),
    "system files can be written": lambda: writes("/", "/usr", "/etc", "/dev", "/sandbox"),
    "the host's secrets show": lambda: any(Path(path).exists() for path in ("/etc/shadow", "/var", "/run", "/sys")),
    "the network can be reached": routed,
    "vsock is open": talks_to_hypervisor,
    "namespaces can be made": makes_namespaces,
    "processes of the host show": sees_processes,
}

"""What must not be possible in any sealed box."""

WEAKER: dict[str, Callable[[], bool]] = {
    "processes in a box can write to each other's standard error (no Landlock: it needs Linux 5.19)": makes_nodes,
    "boxes can see each other's locks and uses of the files that they share (no overlays can be mounted)": (
        lambda: any(sees_lock(path) for path in (os.path.realpath(sys.executable), SHELL))
    ),
    "boxes can see each other's locks and uses of devices such as /dev/null (only root can prevent this)": (
        lambda: sees_lock(os.devnull)
    ),
}
"""What only some kernels and users prevent."""


def _status(field: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    kinds = {"leaks": CANARIES, "weaker": WEAKER}
    print(json.dumps({kind: [words for words, found in tries.items() if found()] for kind, tries in kinds.items()}))
