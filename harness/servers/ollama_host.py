"""Reads OLLAMA_HOST as Ollama's own client does, and finds the server there."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address

from msgspec import Struct

from harness.endings import ConfError
from harness.servers.ollama_api import ApiError, OllamaApi

VARIABLE = "OLLAMA_HOST"

_PORTS = {"http": 80, "https": 443}
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a server binds; a client calls loopback


class RunningOllama(Struct, frozen=True):
    """A server that answers at OLLAMA_HOST. `named`: the variable is set, so the user has chosen this server."""

    url: str
    version: str
    named: bool


def running() -> RunningOllama | None:
    """Return the server at OLLAMA_HOST (default 127.0.0.1:11434), or `None` if no Ollama answers there.

    The look-up takes no proxy. Raise `ConfError` if the variable is not an address.
    """
    url = host_url()
    try:
        version = OllamaApi(url).version()
    except ApiError:
        return None
    return RunningOllama(url, version, named=bool(os.environ.get(VARIABLE, "").strip()))


def host_url() -> str:
    """Return the address that OLLAMA_HOST stands for. Raise `ConfError` if it is not one."""
    host = os.environ.get(VARIABLE, "")
    if "@" in host:  # the value holds a secret, so no message shows it
        raise ConfError(f"the environment variable {VARIABLE} must be an address without a user name or a password")
    try:
        return server_url(host)
    except ValueError as error:
        raise ConfError(f"the environment variable {VARIABLE}={host}: {error}") from None


def server_url(host: str) -> str:
    """Return the address for a value of OLLAMA_HOST: `host`, `host:port`, `:port` or a URL.

    The rules are those of Ollama's envconfig/config.go, but a wrong port is an error and not the default port. Raise
    `ValueError`.
    """
    value = host.strip().strip("\"'").strip()
    scheme, separator, rest = value.rpartition("://")
    if separator and scheme not in _PORTS:
        raise ValueError(f"{scheme}:// is not known: write http:// or https://, or a host and a port alone")
    place, _, path = rest.partition("/")
    name, port = _split(place)
    number = port or str(_PORTS.get(scheme, 11434))
    if re.fullmatch(r"[0-9]{1,5}", number) is None or int(number) > 65_535:
        raise ValueError(f"{port!r} is not a port: write a number up to 65535, as in 127.0.0.1:11434")
    name = _ANY.get(name, name) or "127.0.0.1"
    if re.fullmatch(r"[\w.-]+|[0-9a-f:.]+(%[\w.-]+)?", name) is None:
        raise ValueError(f"{name!r} is not the name of a host: write HOST:PORT, as in 127.0.0.1:11434")
    path = f"/{path.strip('/')}" if path.strip("/") else ""
    return f"{scheme or 'http'}://{f'[{name}]' if ':' in name else name}:{int(number)}{path}"


def _split(place: str) -> tuple[str, str]:
    """Return the host and the port, either of which may be empty. An IPv6 address needs brackets before a port."""
    try:
        return str(ip_address(place.strip("[]"))), ""
    except ValueError:
        pass
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", place)
    if bracketed:
        return str(ip_address(bracketed[1])), bracketed[2] or ""
    name, _, port = place.partition(":")
    return name, port
