"""Starting bubblewrap: its options and files by descriptor, an empty environment, and its words when it fails."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from msgspec import Struct

from harness.sandbox.base import SandboxError
from harness.sandbox.diagnosis import look, remedy

START_S = 30.0
"""Seconds for a step that takes milliseconds: a host that needs longer is not working."""
_END_S = 5.0


class Launched(Struct, frozen=True):
    """A running room: bwrap, the host's pid of the namespace's init, its control socket, and what both said."""

    bwrap: subprocess.Popen[bytes]
    pid: int
    control: socket.socket
    log: IO[bytes]

    def fail(self, error: OSError) -> SandboxError:
        """End the room; what to raise: the last words of bwrap or init, or else the error met here."""
        self.control.close()
        with self.log:
            return _failed(self.bwrap, self.log, str(error))


def launch(
    program: str,
    options: Sequence[str],
    texts: Mapping[str, str],
    seccomp: bytes,
    command: Callable[[int], Sequence[str]],
) -> Launched:
    """Run bwrap as `program` on `command(FD of its control socket)`. Raises `SandboxError`.

    Options and texts travel in memory files and the environment is empty, for a process inside can read the command
    line and the environment of PID 1. bwrap dies with the *thread* that calls this (PR_SET_PDEATHSIG).
    """
    with contextlib.ExitStack() as stack:
        passed = stack.enter_context(_Passed())
        keep = stack.enter_context(contextlib.ExitStack())
        control, far_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        keep.callback(control.close)
        stack.callback(far_control.close)
        info, far_info = os.pipe()
        stack.callback(os.close, info)
        made = [part for path, text in texts.items() for part in ("--perms", "0444", "--file", passed.file(text), path)]
        arguments = [
            *options,
            *made,
            "--remount-ro",
            "/",
            "--seccomp",
            passed.file(seccomp),
            "--info-fd",
            str(far_info),
        ]
        joined = "\0".join(arguments) + "\0"
        log = keep.enter_context(os.fdopen(os.memfd_create("log"), "r+b"))
        argv = [program, "--args", passed.file(joined), "--", *command(far_control.fileno())]
        try:
            bwrap = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={},
                cwd="/",
                pass_fds=(*passed.descriptors, far_control.fileno(), far_info),
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxError(f"cannot run {program}: {error}\nreinstall bubblewrap") from error
        finally:
            os.close(far_info)
        try:
            pid = json.loads(_read_object(info))["child-pid"]
        except ValueError:
            control.close()
            raise _failed(bwrap, log, "it ended without a word") from None
        keep.pop_all()
    return Launched(bwrap, pid, control, log)


class _Passed:
    """Memory files for bwrap to read, closed here on leaving."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []

    def file(self, content: str | bytes) -> str:
        """The number of a descriptor at the start of this content."""
        descriptor = os.memfd_create("bwrap")
        self.descriptors.append(descriptor)
        data = os.fsencode(content)
        while data:
            data = data[os.write(descriptor, data) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        return str(descriptor)

    def __enter__(self) -> _Passed:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


def _read_object(descriptor: int) -> bytes:
    """One flat JSON object from a pipe; less at end of file."""
    text = b""
    while b"}" not in text and (part := os.read(descriptor, 4096)):
        text += part
    return text


def _failed(bwrap: subprocess.Popen[bytes], log: IO[bytes], otherwise: str) -> SandboxError:
    """Without its control socket a room ends by itself, bwrap last; it is killed only if it does not."""
    try:
        bwrap.wait(_END_S)
    except subprocess.TimeoutExpired:
        bwrap.kill()
        bwrap.wait()
    log.seek(0)
    words = log.read().decode(errors="replace").strip().splitlines()
    reason = words[-1] if words else f"{otherwise} (status {bwrap.returncode})"
    return SandboxError(f"bubblewrap could not seal a box: {reason}\n{remedy(reason, look(root=os.geteuid() == 0))}")
