"""The sandbox of a configuration."""

from __future__ import annotations

from collections.abc import Callable

from harness.case import SandboxConf
from harness.sandbox.base import Sandbox, SandboxError
from harness.sandbox.bubblewrap import BubblewrapSandbox
from harness.sandbox.none import NoSandbox

_KINDS: dict[str, Callable[[SandboxConf], Sandbox]] = {"bubblewrap": BubblewrapSandbox, "none": NoSandbox}


def make_sandbox(conf: SandboxConf) -> Sandbox:
    """The sandbox of `conf.kind`. Raises `SandboxError` for a kind that does not exist."""
    if conf.kind not in _KINDS:
        raise SandboxError(
            f"conf/sandbox/{conf.name}.yaml: no sandbox of kind {conf.kind!r}\nchoose from: {', '.join(sorted(_KINDS))}"
        )
    return _KINDS[conf.kind](conf)
