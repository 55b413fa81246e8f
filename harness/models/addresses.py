"""The address of a provider, as its conf must give it."""

from __future__ import annotations

from urllib.parse import urlsplit

from harness.case import ProviderConf
from harness.endings import ConfError


def require_address(conf: ProviderConf) -> str:
    """The provider's `base_url`, the address before `/v1`. Raises `ConfError` for what is none."""
    address = urlsplit(conf.base_url or "")
    if address.scheme not in {"http", "https"} or not address.hostname:
        fault = "is no address, such as https://llm.example.org" if conf.base_url else "is missing"
    elif address.path.rstrip("/").endswith(("/v1", "/v1beta")):
        fault = "is the address before /v1: leave the version out"
    elif address.query or address.fragment or address.username:
        fault = "is an address alone: no name, query or fragment"
    else:
        return str(conf.base_url)
    where = f"conf/provider/{conf.name}.yaml: provider.{conf.name}.base_url"
    raise ConfError(f"{where}: {conf.base_url or 'it'} {fault}")
