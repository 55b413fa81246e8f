"""A sandbox with its own folders for one test. The `sandbox` fixture returns it."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from harness.case_folder import CaseFolder
from harness.sandbox.base import Box, BoxRequest, Sandbox, SandboxError
from harness.untrusted.rooms import Lodging


class Completed(Struct, frozen=True):
    """A command that has ended: its exit code (negative if a signal ended it), its standard output and error."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class SandboxDirs:
    """A sandbox, and the host folders that one test gives to it.

    `workspace` and `home` are writable inside, and the next box sees what the last one wrote. The sandbox's Python and
    the host paths in `readable` appear read-only at the same path. `stderr` is the host file for standard error.
    """

    def __init__(self, sandbox: Sandbox, folder: CaseFolder, readable: Sequence[Path] = ()) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.workspace = folder.workspace
        self.home = folder.home
        self.stderr = folder.stderr
        self._box: Box | None = None
        self._lodging: Lodging | None = None
        self.readable = tuple(dict.fromkeys((*sandbox.python.readable, *readable)))

    def open(
        self,
        *,
        endpoints: Sequence[str] = (),
        mounts: Mapping[str, Path] | None = None,
        readable: Sequence[Path] = (),
    ) -> Box:
        """Return a sealed box with these endpoints, mounts and further readable paths. Raise `SandboxError`."""
        self.folder.make()
        mounts = dict(mounts or {})
        own = [path for path in mounts.values() if path.parent == self.folder.path]
        try:
            lodging = self._lodge(own)
        except OSError as error:
            raise SandboxError(f"cannot move {self.workspace} to a room: {error}\ncheck its permissions") from error
        try:
            self._box = self.sandbox.open(
                BoxRequest(
                    workspace=lodging.folder_of(self.workspace),
                    home=lodging.folder_of(self.home),
                    stderr=lodging.file(self.stderr),
                    readable=(*self.readable, *readable),
                    mounts={name: lodging.folder_of(path) for name, path in mounts.items()},
                    endpoints=tuple(endpoints),
                    closed=lodging.leave,
                )
            )
        except BaseException:
            lodging.leave()
            raise
        self._lodging = lodging
        return self._box

    def _lodge(self, own: Sequence[Path]) -> Lodging:
        for directory in (self.workspace, self.home):
            directory.mkdir(parents=True, exist_ok=True)
        return Lodging(self.folder.path.parent, (self.workspace, self.home, *own))

    def where(self, folder: Path) -> Path:
        """Return where `workspace` or `home` is at the moment, before the command in an open box starts."""
        return folder if self._lodging is None else self._lodging.folder_of(folder)

    @property
    def live_workspace(self) -> Path:
        """Where the host sees the workspace at the moment, while a command may be running."""
        return self.workspace if self._box is None else self._box.outside()

    def run(
        self, argv: Sequence[str], environment: Mapping[str, str] | None = None, *, timeout_s: float = 60.0
    ) -> Completed:
        """Run one command in the workspace until it ends, with empty standard input, and return what it wrote.

        On return, every process of the box has ended. Raise `SandboxError` if the command cannot start, and
        `TimeoutError` after `timeout_s` seconds.
        """
        before = self.stderr.stat().st_size if self.stderr.exists() else 0
        with self.open() as box:
            box.exec(argv, environment or {})
            box.stdin.close()
            output = _read_all(box, argv, timeout_s)
            death = box.close()
        with self.stderr.open("rb") as stderr:
            stderr.seek(before)
            return Completed(death.exit_code, output, stderr.read())


def _read_all(box: Box, argv: Sequence[str], timeout_s: float) -> bytes:
    deadline = time.monotonic() + timeout_s
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(box.stdout, selectors.EVENT_READ)
        while True:
            ended = box.poll() is not None
            ready = selector.select(0 if ended else 0.05)
            part = os.read(box.stdout.fileno(), 1 << 16) if ready else b""
            parts.append(part)
            if ended and not part:
                return b"".join(parts)
            if ready and not part:  # the command closed its output and runs on
                box.wait(max(0.0, deadline - time.monotonic()))
            if time.monotonic() > deadline:
                raise TimeoutError(f"{argv[0]} did not end within {timeout_s:g} s")
