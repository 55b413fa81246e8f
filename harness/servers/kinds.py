"""The kinds of model servers by name: each is a module beside this one whose `KIND` is its adapter."""

from __future__ import annotations

from importlib import import_module

from harness.case import LOCAL_KINDS, ProviderConf
from harness.servers.base import ServerKind


def kind_of(provider: ProviderConf) -> ServerKind:
    """The adapter of the provider's kind of server. Raises `ValueError` for one that serves nothing on this machine."""
    if provider.kind not in LOCAL_KINDS:
        raise ValueError(f"provider {provider.name} of kind {provider.kind} needs no server on this machine")
    kind: ServerKind = import_module(f"harness.servers.{provider.kind}").KIND
    return kind
