"""A box that has been launched: the program that runs it, its init, and the output of both."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from socket import socket
from typing import IO

from msgspec import Struct

from harness.sandbox.base import SandboxError

START_S = 30.0
"""The seconds that a step may take. It normally takes milliseconds, and a host that needs longer is broken."""
_END_S = 5.0


def _nothing() -> None:
    """Do nothing: the default for `Launched.removed`."""


class Launched(Struct, frozen=True, kw_only=True):
    """A running box whose init waits for its set-up.

    `process` is the program on the host that runs the box, and ends after it. `pid` is the host's id of init. `control`
    is init's socket, and `log` the output of both. `explain` returns the error for a reason. `uid` is what init must
    become, or `None` if it has its uid already. `grouped` says whether the harness puts the box into a cgroup. When the
    box has ended, `removed` is called.
    """

    process: subprocess.Popen[bytes]
    pid: int
    control: socket
    log: IO[bytes]
    explain: Callable[[str], SandboxError]
    uid: int | None = None
    grouped: bool = True
    removed: Callable[[], None] = _nothing

    def fail(self, error: OSError) -> SandboxError:
        """End the box and return the error to raise: the last output of the program or init, or else `error`."""
        self.control.close()
        with self.log:
            reason = last_words(self.process, self.log, str(error))
        self.removed()
        return self.explain(reason)

    def wait(self) -> None:
        """Wait until the program has ended. It is killed if it does not end."""
        _end(self.process, START_S)


def last_words(process: subprocess.Popen[bytes], log: IO[bytes], otherwise: str) -> str:
    """Wait for a program to end and return the last line of its log, or `otherwise` if it wrote nothing.

    A box ends by itself after its control socket is closed, and its program ends last.
    """
    _end(process, _END_S)
    log.seek(0)
    words = log.read().decode(errors="replace").strip().splitlines()
    return words[-1] if words else f"{otherwise} (status {process.returncode})"


def spawn(
    argv: Sequence[str],
    *,
    stdin: int,
    log: IO[bytes],
    descriptors: Sequence[int] = (),
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, with all its output in `log`, and with an empty environment.

    Raise `OSError` if it cannot start.
    """
    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=log,
        stderr=log,
        env=environment or {},
        cwd="/",
        pass_fds=descriptors,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
