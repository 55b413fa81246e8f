"""Whether a sandbox does on this machine what it promises: proven once, never assumed."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from msgspec import Struct

from harness.sandbox.base import Box, BoxRequest, Sandbox, SandboxError
from harness.sandbox.box import BubblewrapBox
from harness.sandbox.none import NoSandbox
from harness.sandbox.paths import base_interpreter, base_paths

_PROBE_S = 30.0
_CANARIES = Path(__file__).with_name("canaries.py")


class Capability(Struct, frozen=True):
    """Whether a sandbox works here; if not, the reason and the remedy."""

    ok: bool
    reason: str = ""
    remedy: str = ""


def probe(sandbox: Sandbox) -> Capability:
    """Open a box as any other and, inside it, try what must be impossible. The sandbox `none` promises nothing."""
    if isinstance(sandbox, NoSandbox):
        return Capability(ok=True, reason="it seals nothing: for debugging only")
    with tempfile.TemporaryDirectory(prefix="probe-") as name:
        folder = Path(name)
        request = BoxRequest(
            workspace=folder / "workspace",
            home=folder / "home",
            stderr=folder / "stderr",
            readable=base_paths(),
            endpoints=("probe",),
        )
        try:
            with sandbox.open(request) as box:
                holes = [*_host_side(box), *_inside(box, request.stderr)]
        except SandboxError as error:
            reason, _, remedy = str(error).partition("\n")
            return Capability(ok=False, reason=reason, remedy=remedy)
    if holes:
        return Capability(
            ok=False,
            reason=f"the sandbox leaks: {'; '.join(holes)}",
            remedy="this host cannot seal an agent in: use another one (see `bwrap --version`, and the kernel's)",
        )
    return Capability(ok=True)


def _inside(box: Box, stderr: Path) -> list[str]:
    """The holes that the canaries find. Raises `SandboxError` when they cannot tell."""
    box.exec([str(base_interpreter()), "-I", "-S", "-"], {})
    with box.stdin as stdin:
        stdin.write(_CANARIES.read_bytes())
    if box.wait(_PROBE_S) != 0:
        words = stderr.read_text(errors="replace").strip().splitlines() or ["no word of why"]
        raise SandboxError(
            f"the sandbox's canaries did not come back ({box.poll()}): {words[-1]}\n"
            f"check that others may read and run {base_interpreter()} (chmod -R o+rX)"
        )
    holes: list[str] = json.loads(box.stdout.read())
    return holes


def _host_side(box: Box) -> list[str]:
    """Root outside, whatever it says inside: a user namespace of root's would be."""
    if not isinstance(box, BubblewrapBox):
        return []
    status = Path("/proc", str(box.pid), "status").read_text()
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    return ["its processes are the host's root"] if "0" in uids else []
