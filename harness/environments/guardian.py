"""Watches over a process, so that nothing that it starts outlives it, in whatever session that is.

This file needs only the standard library.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PAUSES_S = (0.001, 0.1)
"""The first and the longest pause before it looks again whether what was killed has ended."""


def guard(life: int, told: int | None = None) -> None:
    """Fork, and return in the new process. This process becomes its guardian, and does not return.

    The guardian waits until the new process ends, or until the writing end of the pipe `life` is closed. Then it kills
    the new process and everything that descends from it, and ends as the new process has ended. It passes SIGABRT on,
    and SIGTERM as SIGKILL. The new process is killed if the guardian is. Its pid is written to the descriptor `told`.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans become children of this process
    guardian = os.getpid()
    ward = os.fork()
    if ward == 0:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:
            os._exit(1)
        return
    try:
        if told is not None:
            os.write(told, str(ward).encode())
        code = _watch(ward, life)
    except BaseException:
        code = 1
    _end_descendants()
    _end_as(code)


def _watch(ward: int, life: int) -> int:
    """Return the exit code of the ward, negative for a signal."""
    pidfd = os.pidfd_open(ward)
    signal.signal(signal.SIGABRT, lambda *_: signal.pidfd_send_signal(pidfd, signal.SIGABRT))
    signal.signal(signal.SIGTERM, lambda *_: signal.pidfd_send_signal(pidfd, signal.SIGKILL))
    _close_all_but(life, pidfd)
    select.select([life, pidfd], [], [])
    for number in (signal.SIGABRT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)  # nothing happens if it has ended
    return os.waitstatus_to_exitcode(os.waitpid(ward, 0)[1])


def _close_all_but(*kept: int) -> None:
    """Close what the ward talks to others by. They learn from its end that the ward has ended."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are enough
        if int(name) > 2 and int(name) not in kept:
            with suppress(OSError):
                os.close(int(name))


def _end_descendants() -> None:
    """Kill all descendants of this process, and wait until they have ended.

    They are stopped first, until there is none that runs: what is stopped cannot fork.
    """
    if _reaped():
        return
    with suppress(OSError):  # only root may go before those that it must outrun
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    pause, longest = _PAUSES_S
    while not _reaped():
        stopped: set[int] = set()
        while running := _descendants(os.getpid()) - stopped:
            for pid in running:
                _send(pid, signal.SIGSTOP)
            stopped |= running
        for pid in stopped:
            _send(pid, signal.SIGKILL)
        time.sleep(pause)
        pause = min(2 * pause, longest)


def _reaped() -> bool:
    """Wait for the children that have ended. Return whether there is no child left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _descendants(pid: int) -> set[int]:
    """Return the processes that descend from one, without those that have ended."""
    children: dict[int, list[int]] = defaultdict(list)
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are enough, and there may be thousands
        if name.isdecimal():
            with suppress(OSError):
                state, parent = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()[:2]
                if state not in {b"Z", b"X"}:
                    children[int(parent)].append(int(name))
    found = list(children[pid])
    for parent_of in found:  # it grows meanwhile
        found += children[parent_of]
    return set(found)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(OSError):  # it has ended, or is a program with another user's rights
        os.kill(pid, number)


def _end_as(code: int) -> NoReturn:
    """End this process as another one has ended."""
    if code < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 1)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)
