"""The kinds of model server. Each is a module beside this one, named after its kind; `KIND` is its adapter."""

from __future__ import annotations

from importlib import import_module

from harness.case import LOCAL_KINDS, ProviderConf
from harness.servers.base import ServerKind


def kind_of(provider: ProviderConf) -> ServerKind:
    """Return the adapter of the provider's kind. Raise `ValueError` if it does not need a server on this machine."""
    if provider.kind not in LOCAL_KINDS:
        raise ValueError(f"provider {provider.name} of kind {provider.kind} does not need a server on this machine")
    kind: ServerKind = import_module(f"harness.servers.{provider.kind}").KIND
    return kind
