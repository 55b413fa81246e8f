"""The kinds of sandbox. A new kind is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable

from harness.case import SandboxConf
from harness.endings import ConfError
from harness.sandbox.apptainer import apptainer_sandbox
from harness.sandbox.auto import AutoSandbox
from harness.sandbox.base import ProvenSandbox, Sandbox, SandboxError
from harness.sandbox.bubblewrap import BubblewrapSandbox
from harness.sandbox.docker import docker_sandbox
from harness.sandbox.keeper import STRONGER
from harness.sandbox.none import NoSandbox
from harness.sandbox.podman import podman_sandbox
from harness.sandbox.probe import probe

_SEALING: dict[str, Callable[[SandboxConf], Sandbox]] = {
    "bubblewrap": BubblewrapSandbox,
    "podman": podman_sandbox,
    "apptainer": apptainer_sandbox,
    "docker": docker_sandbox,
}
"""The kinds that seal. The first one is the best of equals."""

_KINDS: dict[str, Callable[[SandboxConf], Sandbox]] = {
    **_SEALING,
    "auto": lambda conf: AutoSandbox(conf, _SEALING),
    "none": NoSandbox,
}


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


def prove(conf: SandboxConf) -> ProvenSandbox:
    """Return the sandbox that `conf` describes, after the probe. Raise `SandboxError` if it does not seal here."""
    sandbox = make_sandbox(conf)
    capability = probe(sandbox)
    if not capability.ok:
        raise SandboxError(f"{capability.reason}\n{capability.remedy}")
    return ProvenSandbox(sandbox, capability.guarantees)


def require_limits(conf: SandboxConf) -> None:
    """Raise `ConfError` if this machine and user cannot guarantee every limit of the sandbox."""
    try:
        weaker = make_sandbox(conf).weaker
    except SandboxError as error:  # `auto` finds no kind that works here
        raise ConfError(f"--require-limits: sandbox {conf.name}: {error}") from error
    if weaker:
        raise ConfError(
            f"--require-limits: sandbox {conf.name} cannot guarantee every limit here: {'; '.join(weaker)}\n{STRONGER}"
        )
