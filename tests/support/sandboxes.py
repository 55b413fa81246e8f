"""Helpers for tests of sandboxes: a request with its folders, and commands that run to their end."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from harness.case import SandboxConf
from harness.sandbox.base import Box, BoxRequest
from harness.sandbox.bubblewrap import BubblewrapSandbox

END_S = 30.0
PYTHON = BubblewrapSandbox(SandboxConf("test", "bubblewrap")).python
"""The path of Python inside every box of these tests."""


def bubblewrap(**limits: int) -> BubblewrapSandbox:
    return BubblewrapSandbox(msgspec.structs.replace(SandboxConf("test", "bubblewrap"), **limits))


def request(folder: Path, **parts: Any) -> BoxRequest:
    folder.mkdir(exist_ok=True)
    return BoxRequest(
        workspace=folder / "workspace",
        home=folder / "home",
        stderr=folder / "stderr",
        **{"readable": PYTHON.readable, **parts},
    )


def read_all(box: Box) -> bytes:
    """Read standard output to its end and return it."""
    return b"".join(iter(lambda: box.stdout.read(1 << 16), b""))


def finish(box: Box, argv: Sequence[str], variables: Mapping[str, str] | None = None) -> tuple[int | None, str]:
    """Run a command to its end; return its exit code and standard output."""
    box.exec(argv, variables or {})
    box.stdin.close()
    output = read_all(box).decode()
    return box.wait(END_S), output


def python(program: str, *arguments: str) -> list[str]:
    return [PYTHON.inside, "-I", "-S", "-c", program, *arguments]


def processes_with(token: str) -> list[psutil.Process]:
    """Return the processes of the host that have this text in their command line."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if any(token in argument for argument in process.cmdline()):
                found.append(process)
    return found
