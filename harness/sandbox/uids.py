"""A uid for each box. Processes of different boxes then share no uid, nor anything that the kernel counts by uid."""

from __future__ import annotations

import errno
import os
import socket

from msgspec import Struct

from harness.sandbox.base import SandboxError

_FREE = range(60578, 61184)
"""Unused in systemd's table of uids (https://systemd.io/UIDS-GIDS/), and below 65536, as containers need."""


class UidLease(Struct, frozen=True):
    """A uid that no other box on this machine has until `release`, or until this process ends."""

    uid: int
    lock: socket.socket | None = None

    def release(self) -> None:
        """Give the uid back."""
        if self.lock is not None:
            self.lock.close()


def lease_uid() -> UidLease:
    """Return a uid that no box of this machine uses. Raise `SandboxError` if all are in use.

    Only one process can bind an abstract socket of a name, and the kernel frees the name with the process. So this
    needs no file, and a killed process leaves nothing behind.
    """
    for number in range(len(_FREE)):
        uid = _FREE[(os.getpid() + number) % len(_FREE)]
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0proctor-uid-{uid}")
        except OSError as error:
            lock.close()
            if error.errno != errno.EADDRINUSE:
                raise SandboxError(f"cannot reserve a uid for a box: {error}\nset sandbox.options.uid") from error
        else:
            return UidLease(uid, lock)
    raise SandboxError(f"all {len(_FREE)} uids for boxes are in use\nrun fewer sessions at a time")
