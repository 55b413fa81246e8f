"""What makes no sense for a model of some kind of provider, found before anything runs."""

from __future__ import annotations

from urllib.parse import urlsplit

from harness.case import LOCAL_KINDS, ModelConf, ProviderConf
from harness.endings import ConfError
from harness.servers.kinds import kind_of

_OF_SERVERS = ("gpus", "gpu_memory_gb", "server")
"""The keys of a model that say what its server on this machine needs."""


def check_played(model: ModelConf, provider: ProviderConf) -> None:
    """Raise `ConfError` for settings that mean nothing where no server of this machine serves the model."""
    if provider.options:
        raise ConfError(
            f"conf/provider/{provider.name}.yaml: provider.{provider.name}.options: only these kinds have any: "
            f"{', '.join(LOCAL_KINDS)}"
        )
    for key in _OF_SERVERS:
        if getattr(model, key):
            raise ConfError(
                f"conf/model/{model.name}.yaml: model.{model.name}.{key}: only for a model that is served on this "
                f"machine, by {', '.join(LOCAL_KINDS)}"
            )


def check_remote(model: ModelConf, provider: ProviderConf) -> None:
    """Raise `ConfError` for a wrong address, and for settings that mean nothing for a service."""
    check_address(provider)
    check_played(model, provider)


def check_local(model: ModelConf, provider: ProviderConf) -> None:
    """Raise `ConfError` for a wrong address of a server that runs already, and for wrong options."""
    if provider.base_url is not None:
        check_address(provider)
    kind_of(provider).start_s(model, provider)


def check_address(provider: ProviderConf) -> None:
    """Raise `ConfError` if the provider's `base_url` is not an address as it stands before `/v1`."""
    address = urlsplit(provider.base_url or "")
    if address.scheme not in {"http", "https"} or not address.hostname:
        fault = "is not an address such as https://llm.example.org" if provider.base_url else "is missing"
    elif address.path.rstrip("/").endswith(("/v1", "/v1beta")):
        fault = "is the address before /v1: leave the version out"
    elif address.query or address.fragment or address.username:
        fault = "must be an address alone: no name, query or fragment"
    else:
        return
    where = f"conf/provider/{provider.name}.yaml: provider.{provider.name}.base_url"
    raise ConfError(f"{where}: {provider.base_url or 'it'} {fault}")
