"""Starts bubblewrap. Its options and files are passed by descriptor, and its last output explains a failure."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence

from harness.sandbox.base import SandboxError
from harness.sandbox.diagnosis import look, remedy
from harness.sandbox.launched import Launched, last_words, spawn


def launch(
    program: Sequence[str],
    options: Sequence[str],
    texts: Mapping[str, str],
    seccomp: bytes,
    stdin: str,
    command: Callable[[int], Sequence[str]],
    uid: int | None,
) -> Launched:
    """Run bwrap as `program` on `command(FD of its control socket)`. Raise `SandboxError` if it does not start.

    Init is to become `uid`, unless that is `None`.

    `program` may be a command that ends with bwrap, and reads `stdin` before it runs that.
    `texts` are files to make inside, by path. Options and texts are passed in memory files, and the environment is
    empty, because a process inside can read the command line and the environment of PID 1. bwrap dies with the *thread*
    that calls this (PR_SET_PDEATHSIG).
    """
    with contextlib.ExitStack() as stack:
        passed = stack.enter_context(_MemoryFiles())
        keep = stack.enter_context(contextlib.ExitStack())
        control, far_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        keep.callback(control.close)
        stack.callback(far_control.close)
        log = keep.enter_context(os.fdopen(os.memfd_create("log"), "r+b"))
        info, far_info = os.pipe()
        stack.callback(os.close, info)
        try:
            arguments = _arguments(passed, options, texts, seccomp, far_info)
            argv = [*program, "--args", passed.add(arguments), "--", *command(far_control.fileno())]
            read = stack.enter_context(_MemoryFiles()).add(stdin)
            descriptors = (*passed.descriptors, far_control.fileno(), far_info)
            bwrap = spawn(argv, stdin=int(read), log=log, descriptors=descriptors)
        except OSError as error:
            raise SandboxError(f"cannot run {argv[0]}: {error}\nreinstall bubblewrap") from error
        finally:
            os.close(far_info)
        try:
            pid = json.loads(_read_object(info))["child-pid"]
        except ValueError:
            control.close()
            raise _explain(last_words(bwrap, log, "it ended without output")) from None
        keep.pop_all()
    return Launched(process=bwrap, pid=pid, control=control, log=log, explain=_explain, uid=uid)


class _MemoryFiles:
    """Files in memory for bwrap to read. It is a context manager, and closes them on exit."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []

    def add(self, content: str | bytes) -> str:
        """Make a file of this content; return the number of its descriptor."""
        descriptor = os.memfd_create("bwrap")
        self.descriptors.append(descriptor)
        data = os.fsencode(content)
        while data:
            data = data[os.write(descriptor, data) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        return str(descriptor)

    def __enter__(self) -> _MemoryFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


def _arguments(files: _MemoryFiles, options: Sequence[str], texts: Mapping[str, str], seccomp: bytes, info: int) -> str:
    """Return bwrap's options in the form for `--args`. The root becomes read-only after the last file."""
    made = [part for path, text in texts.items() for part in ("--perms", "0444", "--file", files.add(text), path)]
    last = ("--remount-ro", "/", "--seccomp", files.add(seccomp), "--info-fd", str(info))
    return "\0".join((*options, *made, *last)) + "\0"


def _read_object(descriptor: int) -> bytes:
    """Return one flat JSON object from a pipe, or less at the end of file."""
    text = b""
    while b"}" not in text and (part := os.read(descriptor, 4096)):
        text += part
    return text


def _explain(reason: str) -> SandboxError:
    return SandboxError(f"bubblewrap could not seal a box: {reason}\n{remedy(reason, look(root=os.geteuid() == 0))}")
