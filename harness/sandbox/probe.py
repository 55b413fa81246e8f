"""The probe. It tests whether a sandbox keeps its promise on this machine."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from harness.sandbox.base import Box, BoxRequest, Interpreter, Sandbox, SandboxError
from harness.sandbox.canaries import SHELL
from harness.sandbox.keeper import LIMITS
from harness.temporary import temporary_folder

_PROBE_S = 30.0
_CANARIES = Path(__file__).with_name("canaries.py")


class Capability(Struct, frozen=True):
    """Whether a sandbox works on this machine. If it does not, `reason` says why and `remedy` what to do.

    `weaker` says what the sandbox cannot guarantee on this machine, and `guarantees` names what it does guarantee.
    """

    ok: bool
    reason: str = ""
    remedy: str = ""
    weaker: tuple[str, ...] = ()
    guarantees: tuple[str, ...] = ()


def probe(sandbox: Sandbox) -> Capability:
    """Open a box, and try inside it what must be impossible. Return the result.

    A kind that does not seal is always `ok`, because it promises nothing.
    """
    if not sandbox.seals:
        return Capability(ok=True, reason="it seals nothing: for debugging only")
    with temporary_folder("probe") as folder:
        request = BoxRequest(
            workspace=folder / "workspace",
            home=folder / "home",
            stderr=folder / "stderr",
            readable=sandbox.python.readable,
            endpoints=("probe",),
        )
        try:
            with _locks(sys.executable, SHELL, os.devnull), sandbox.open(request) as box:
                found = _inside(box, sandbox.python, request.stderr)
                leaks = [*box.leaks(), *found["leaks"]]
        except SandboxError as error:
            reason, _, remedy = str(error).partition("\n")
            return Capability(ok=False, reason=reason, remedy=remedy)
    if leaks:
        return Capability(
            ok=False,
            reason=f"the sandbox leaks: {'; '.join(leaks)}",
            remedy=f"use another host: the kernel of this one, or its {sandbox.version}, cannot seal an agent in",
        )
    limits = (name for name, words in LIMITS.items() if words not in sandbox.weaker)
    return Capability(ok=True, weaker=tuple(found["weaker"]), guarantees=(*found["held"], *limits))


@contextmanager
def _locks(*paths: str) -> Iterator[None]:
    """Lock files that every box shows, for a canary to see."""
    with ExitStack() as stack:
        for path in paths:
            fcntl.flock(stack.enter_context(Path(path).open("rb")), fcntl.LOCK_SH)
        yield


def _inside(box: Box, python: Interpreter, stderr: Path) -> dict[str, list[str]]:
    """Return what the canaries find, by kind. Raise `SandboxError` if they do not report."""
    box.exec([python.inside, "-I", "-S", "-"], {})
    with box.stdin as stdin:
        stdin.write(_CANARIES.read_bytes())
    if box.wait(_PROBE_S) != 0:
        words = stderr.read_text(errors="replace").strip().splitlines() or ["without any output"]
        raise SandboxError(
            f"the sandbox's canaries did not report (exit code {box.poll()}): {words[-1]}\n"
            f"check that others may read and run {python.inside} (chmod -R o+rX)"
        )
    found: dict[str, list[str]] = json.loads(box.stdout.read())
    return found
