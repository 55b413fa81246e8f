"""Models whose provider speaks another wire than the case's CLI. Importing this loads litellm."""

from __future__ import annotations

import msgspec

from harness.case import Case
from harness.gateway.allowlist import allow_list
from harness.gateway.routes import wire_of
from harness.gateway.translation.translator import Translator
from harness.models.model_server import ModelServer


def translated(server: ModelServer, case: Case, upstream: str) -> ModelServer:
    """Return a server that asks the case's model over the wire `upstream`. Its warnings name what requests lost."""
    lost: set[str] = set()

    def warnings() -> list[str]:
        said = f"translated from {case.wire} to {upstream}; not carried: {'; '.join(sorted(lost))}"
        return [*server.warnings(), *([said] if lost else [])]

    def provider() -> Translator:
        allowed = allow_list(upstream, tuple(case.gateway.extra_fields))
        return Translator(server.provider(), wire_of(upstream), allowed, lost.update)

    return msgspec.structs.replace(server, provider=provider, warnings=warnings)
