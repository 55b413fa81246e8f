"""Attempts to gain rights, and to take more than a process's share."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .trying import HOSTS_RIGHTS, LIBC, Attempts, Impossible, attempt, call, checked, refuse

ADMIN = 21
"""CAP_SYS_ADMIN."""


def take_capability() -> None:
    header = (0x20080522).to_bytes(4, "little") + bytes(4)
    wanted = (1 << ADMIN).to_bytes(4, "little")
    call("capset", header, wanted + wanted + bytes(16))


def raise_ambient() -> None:
    header = (0x20080522).to_bytes(4, "little") + bytes(4)
    wanted = (1 << ADMIN).to_bytes(4, "little")
    LIBC.capset(header, wanted * 3 + bytes(12))
    checked(LIBC.prctl(47, ctypes.c_ulong(2), ctypes.c_ulong(ADMIN), 0, 0))


def has_bounding_set() -> None:
    """Look for any capability that a program could gain."""
    if not any(LIBC.prctl(23, ctypes.c_ulong(number), 0, 0, 0) == 1 for number in range(64)):
        refuse(errno.EPERM)


def run_setuid_program() -> None:
    """Run `su`, which belongs to root and has the setuid bit. It waits for a password and gets none."""
    program = Path("/usr/bin/su")
    if not program.exists() or not program.stat().st_mode & 0o4000:
        raise Impossible("this machine has no su with the setuid bit")
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=-3, stderr=-3) as run:
        try:
            deadline = time.monotonic() + 2
            while run.poll() is None and time.monotonic() < deadline:
                lines = Path(f"/proc/{run.pid}/status").read_text().splitlines()
                [uids] = [line.split()[1:] for line in lines if line.startswith("Uid:")]
                if "0" in uids:
                    return
                time.sleep(0.01)
        except OSError:
            pass
        finally:
            run.terminate()
    refuse(errno.EPERM)


def raises(kind: int) -> Callable[[], object]:
    """Return an attempt to raise a hard limit."""

    def attempted() -> None:
        hard = resource.getrlimit(kind)[1]
        if hard == resource.RLIM_INFINITY:
            return
        try:
            resource.setrlimit(kind, (hard + 1, hard + 1))
        except ValueError:  # Python's word for EPERM here
            refuse(errno.EPERM)

    return attempted


def real_time() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def deadline() -> None:
    """Ask for CPU time before all others (SCHED_DEADLINE)."""
    fields = ((48, 4), (6, 4), (0, 8), (0, 4), (0, 4), (10**6, 8), (10**7, 8), (10**7, 8))
    call("sched_setattr", 0, b"".join(value.to_bytes(size, "little") for value, size in fields), 0)


def real_time_disk() -> None:
    call("ioprio_set", 1, 0, 1 << 13)


def become_filesystem_root() -> None:
    LIBC.setfsuid(0)
    if LIBC.setfsuid(-1) != 0:
        refuse(errno.EPERM)


def without_new_privileges() -> None:
    """Find out whether programs may gain rights when they start."""
    if LIBC.prctl(39, 0, 0, 0, 0) == 1:
        refuse(errno.EPERM)


def hidden_behind_a_filter() -> None:
    if "Seccomp:\t0" not in Path("/proc/self/status").read_text():
        refuse(errno.EPERM)


RIGHTS: Attempts = {
    "become root": attempt(lambda: os.setresuid(0, 0, 0), "rights"),
    "become root's group": attempt(lambda: os.setresgid(0, 0, 0), "rights"),
    "join root's groups": attempt(lambda: os.setgroups([0]), "rights", "may not do that in its user namespace"),
    "become root for files": attempt(become_filesystem_root, "rights"),
    "become another user": attempt(lambda: os.setuid(1), "rights", "has no other uid in its user namespace"),
    "take a capability": attempt(take_capability, "rights"),
    "pass a capability on": attempt(raise_ambient, "rights"),
    "gain a capability by a program": attempt(has_bounding_set, "rights"),
    "run a setuid program": attempt(run_setuid_program, "none"),
    "gain rights by exec": attempt(without_new_privileges, "none"),
    "call without a filter": attempt(hidden_behind_a_filter, "none"),
    "take real-time priority": attempt(real_time, "rights", HOSTS_RIGHTS),
    "take a deadline": attempt(deadline, "rights", HOSTS_RIGHTS),
    "take the disk first": attempt(real_time_disk, "rights", HOSTS_RIGHTS),
    "raise priority": attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, -20), "rights limits", HOSTS_RIGHTS),
    "raise the limit of files": attempt(raises(resource.RLIMIT_NOFILE), "rights", HOSTS_RIGHTS),
    "raise the limit of processes": attempt(raises(resource.RLIMIT_NPROC), "rights", HOSTS_RIGHTS),
    "raise the limit of core files": attempt(raises(resource.RLIMIT_CORE), "limits", HOSTS_RIGHTS),
}
"""Attempts to gain rights, by name."""
