"""The kinds of sandbox. A new kind is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable

from harness.case import SandboxConf
from harness.endings import ConfError
from harness.sandbox.base import Sandbox
from harness.sandbox.bubblewrap import BubblewrapSandbox
from harness.sandbox.keeper import STRONGER
from harness.sandbox.none import NoSandbox

_KINDS: dict[str, Callable[[SandboxConf], Sandbox]] = {"bubblewrap": BubblewrapSandbox, "none": NoSandbox}


def make_sandbox(conf: SandboxConf) -> Sandbox:
    """Return the sandbox that `conf` describes, without starting anything.

    Raise `ConfError` for an unknown kind and for options that the kind does not have.
    """
    if conf.kind not in _KINDS:
        raise ConfError(
            f"conf/sandbox/{conf.name}.yaml: sandbox.kind: there is no kind {conf.kind}; "
            f"choose from: {', '.join(sorted(_KINDS))}"
        )
    return _KINDS[conf.kind](conf)


def require_limits(conf: SandboxConf) -> None:
    """Raise `ConfError` if this machine and user cannot guarantee every limit of the sandbox."""
    weaker = make_sandbox(conf).weaker
    if weaker:
        raise ConfError(
            f"--require-limits: sandbox {conf.name} cannot guarantee every limit here: {'; '.join(weaker)}\n{STRONGER}"
        )
