"""Finds out whether a model service can be reached at all, and says why not."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from typing import Final, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

CONNECT_S: Final = 7.0
"""How many seconds connecting may take, with the look-up of the name and the TLS handshake."""

PAUSES_S: Final = (1.0, 2.0)
"""The pauses before a connection that failed at once is tried again: a service that restarts is back soon."""

LOOPBACK: Final = frozenset(("127.0.0.1", "localhost", "::1"))
"""The hosts that are never reached through a proxy."""


class _Target(NamedTuple):
    """Where the connection to a service goes: to the service itself, or to the proxy before it."""

    host: str
    port: int
    tls: bool
    by_proxy: bool


def unreachable(url: str, why: str) -> str:
    """Return the explanation for a service to which no connection can be made."""
    host, port, _, by_proxy = _target(url)
    place = _parts(url)
    proxy = f" through the proxy {host}:{port}" if by_proxy else ""
    return (
        f"the model service at {place.host}:{place.port} cannot be reached{proxy}: {why}; check its address ({url}) "
        f"and the network of this machine"
    )


def why_unreachable(url: str, *, connect_s: float = CONNECT_S, pauses_s: tuple[float, ...] = PAUSES_S) -> str | None:
    """Return why no connection to the service at `url` can be made, or `None` if one was made.

    No request is sent. If requests go through a proxy, only the connection to the proxy is checked. The answer comes
    within `connect_s` seconds.
    """
    said: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def tell() -> None:
        said.put(_why(_target(url), connect_s, pauses_s))

    # Looking up a name takes no time limit. So a thread does it, and nobody waits for a slow one.
    threading.Thread(target=tell, name="proctor-reach", daemon=True).start()
    try:
        return said.get(timeout=connect_s)
    except queue.Empty:
        return f"no connection within {connect_s:g} seconds"


def _why(target: _Target, connect_s: float, pauses_s: tuple[float, ...]) -> str | None:
    why = None
    for pause_s in (0.0, *pauses_s):
        time.sleep(pause_s)
        try:
            _connect(target, connect_s)
        except ssl.SSLCertVerificationError as error:
            why = f"its certificate is not trusted: {error.verify_message}"
        except ssl.SSLError as error:
            why = f"TLS failed: {error.reason or error}"
        except socket.gaierror as error:
            why = f"the name is not known: {error.strerror}"
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
        else:
            return None
    return why


def _connect(target: _Target, connect_s: float) -> None:
    with socket.create_connection((target.host, target.port), timeout=connect_s) as plain:
        if target.tls:
            httpx2.create_ssl_context().wrap_socket(plain, server_hostname=target.host).close()


def _target(url: str) -> _Target:
    service, scheme = _parts(url), urlsplit(url).scheme
    proxies = {} if service.host in LOOPBACK or proxy_bypass(service.host) else getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    return service if proxy is None else _parts(proxy if "://" in proxy else f"http://{proxy}", by_proxy=True)


def _parts(url: str, *, by_proxy: bool = False) -> _Target:
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    default = {"https": 443, "socks5": 1080, "socks5h": 1080}.get(parts.scheme, 80)
    return _Target(parts.hostname or "", parts.port or default, tls, by_proxy)
