"""The sandbox of kind `auto`: the strongest kind that works on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from msgspec.structs import replace

from harness.case import SandboxConf
from harness.sandbox.base import Box, BoxRequest, Interpreter, Sandbox, SandboxError
from harness.sandbox.options import NoOptions, options_of
from harness.sandbox.probe import probe


class AutoSandbox:
    """Tries each kind that seals, when something is first asked of it, and is then the one that guarantees the most.

    The first of `kinds` wins a tie. Raise `SandboxError` if none seals here: it is never a kind that seals nothing.
    """

    name = "auto"
    seals = True

    def __init__(self, conf: SandboxConf, kinds: Mapping[str, Callable[[SandboxConf], Sandbox]]) -> None:
        options_of(NoOptions, conf)
        self._kinds = {kind: make(replace(conf, kind=kind)) for kind, make in kinds.items()}

    @cached_property
    def chosen(self) -> Sandbox:
        """The kind that is used."""
        best: tuple[int, Sandbox] | None = None
        reasons = []
        for kind, sandbox in self._kinds.items():
            capability = probe(sandbox)
            if not capability.ok:
                reasons.append(f"{kind}: {capability.reason}")
                continue
            lacking = len(capability.weaker) + len(sandbox.weaker)
            if best is None or lacking < best[0]:
                best = (lacking, sandbox)
            if lacking == 0:
                break
        if best is None:
            raise SandboxError(
                f"no kind of sandbox works here: {'; '.join(reasons)}\nsee what is missing: proctor doctor"
            )
        return best[1]

    @property
    def version(self) -> str:
        """See `Sandbox.version`."""
        return self.chosen.version

    @property
    def python(self) -> Interpreter:
        """See `Sandbox.python`."""
        return self.chosen.python

    @property
    def weaker(self) -> tuple[str, ...]:
        """See `Sandbox.weaker`."""
        return self.chosen.weaker

    def open(self, request: BoxRequest) -> Box:
        """See `Sandbox.open`."""
        return self.chosen.open(request)
