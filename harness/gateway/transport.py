"""A fast transport for httpx2, which connects to a model service without a proxy.

httpx2's own transport parses in Python, and passes each chunk of an answer through many layers. This one passes on
together what came together.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import httpx2

from harness.gateway.connection import Connection

KEPT: Final = 8
"""How many idle connections stay open."""
KEPT_S: Final = 60.0
"""How many seconds an idle connection stays open."""
NEXT_ADDRESS_S: Final = 0.25
"""How many seconds to wait for one address of a host before the next is tried too (RFC 8305)."""


class DirectTransport(httpx2.AsyncBaseTransport):
    """Sends requests to one service, and keeps its connections for later requests. `tls` says whom it trusts."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        tls.set_alpn_protocols(["http/1.1"])
        self._tls = tls
        self._idle: list[tuple[float, Connection]] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request and return the answer, whose body is still to be read. Raise `httpx2.TransportError`."""
        raw = (_head(request), await request.aread())
        connection = self._kept() or await self._connect(request)
        try:
            status, headers = await connection.ask(raw)
        except BaseException:
            connection.close()
            raise
        return httpx2.Response(status, headers=headers, stream=_Body(connection, self._release))

    async def aclose(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop()[1].close()

    def _kept(self) -> Connection | None:
        """Return the connection that became idle last, or None if none is fit for use."""
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < KEPT_S and connection.is_reusable and connection.is_silent:
                return connection
            connection.close()
        return None

    def _release(self, connection: Connection) -> None:
        if connection.is_reusable and len(self._idle) < KEPT:
            self._idle.append((time.monotonic(), connection))
        else:
            connection.close()

    async def _connect(self, request: httpx2.Request) -> Connection:
        url, seconds = request.url, request.extensions.get("timeout", {}).get("connect")
        host = url.raw_host.decode("ascii")
        tls = self._tls if url.scheme == "https" else None
        port = url.port or (443 if tls else 80)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    Connection, host, port, ssl=tls, happy_eyeballs_delay=NEXT_ADDRESS_S
                )
        except TimeoutError:
            raise httpx2.ConnectTimeout(f"connecting took longer than {seconds} s") from None
        except OSError as error:
            raise httpx2.ConnectError(str(error)) from error
        return connection


class _Body(httpx2.AsyncByteStream):
    """The body of an answer. When it is closed, its connection is released."""

    def __init__(self, connection: Connection, release: Callable[[Connection], None]) -> None:
        self._connection = connection
        self._release = release
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._connection.read():
            yield piece

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._release(self._connection)


def _head(request: httpx2.Request) -> bytes:
    """Return the request line and the headers. Raise `httpx2.LocalProtocolError` for a header with a line break."""
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    if any(b"\r" in line or b"\n" in line for line in lines):
        raise httpx2.LocalProtocolError("a header of the request has a line break")
    return b"\r\n".join([*lines, b"", b""])
