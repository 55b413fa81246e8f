"""A sandbox with a test's own folders: what the `sandbox` fixture gives."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from harness.case_folder import CaseFolder
from harness.sandbox.base import Box, BoxRequest, Sandbox


class Completed(Struct, frozen=True):
    """A command that ran to its end: exit code (negative: the signal that ended it), standard output and error."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class SandboxDirs:
    """A sandbox, and the host folders that one test gives to it.

    `workspace` and `home` are writable inside and last from one box to the next; `readable` host paths are visible
    read-only at their own place.
    """

    def __init__(self, sandbox: Sandbox, folder: CaseFolder, readable: Sequence[Path]) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.workspace = folder.workspace
        self.home = folder.home
        self.stderr = folder.stderr
        self.readable = tuple(dict.fromkeys(readable))

    def open(
        self,
        *,
        endpoints: Sequence[str] = (),
        mounts: Mapping[str, Path] | None = None,
        readable: Sequence[Path] = (),
    ) -> Box:
        """Seal a box with these endpoints, read-only mounts and further readable paths. Raises `SandboxError`."""
        for directory in (self.workspace, self.home):
            directory.mkdir(parents=True, exist_ok=True)
        return self.sandbox.open(
            BoxRequest(
                workspace=self.workspace,
                home=self.home,
                stderr=self.stderr,
                readable=(*self.readable, *readable),
                mounts=dict(mounts or {}),
                endpoints=tuple(endpoints),
            )
        )

    def run(
        self, argv: Sequence[str], environment: Mapping[str, str] | None = None, *, timeout_s: float = 60.0
    ) -> Completed:
        """Run one command in the workspace to its end, sealed, with nothing on standard input.

        Raises `SandboxError` if it cannot start and `TimeoutError` after `timeout_s` seconds; every process is gone
        on return.
        """
        with self.open() as box:
            box.exec(argv, environment or {})
            box.stdin.close()
            output = _read_all(box, argv, time.monotonic() + timeout_s)
            death = box.close()
        return Completed(death.exit_code, output, self.stderr.read_bytes())


def _read_all(box: Box, argv: Sequence[str], deadline: float) -> bytes:
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(box.stdout, selectors.EVENT_READ)
        while True:
            ended = box.poll() is not None
            part = os.read(box.stdout.fileno(), 1 << 16) if selector.select(0 if ended else 0.05) else b""
            parts.append(part)
            if ended and not part:
                return b"".join(parts)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{argv[0]} has not ended in time")
