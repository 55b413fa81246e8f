"""A provider that forwards requests to a service behind TLS, or to a model server on this machine.

The key goes into the request upstream and nowhere else. The provider's key is removed from answers that quote it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from functools import lru_cache
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx2

from harness.gateway.credential import Credential, Unsigned
from harness.gateway.decoding import PACKED, PLAIN, unpacked, within
from harness.gateway.doors import Door
from harness.gateway.messages import pseudo_count
from harness.gateway.provider import Answer, AnswerError, Call, StreamCut, Unreachable
from harness.gateway.reach import CONNECT_S, LOOPBACK, PAUSES_S, unreachable
from harness.gateway.transport import KEPT, KEPT_S, DirectTransport
from harness.gateway.wires import openai_chat

MAX_ANSWER: Final = 256 * 1024 * 1024
"""The most bytes of an answer, after it was unpacked. A streamed answer is not held in memory."""

MAX_FAILURE: Final = 1024 * 1024
"""How many bytes of an error answer are passed on."""

USAGE_ASKED: Final = "stream_options.include_usage was set: without it a chat stream has no usage"

_HOP_BY_HOP: Final = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    )
)
_NOT_PASSED_ON: Final = _HOP_BY_HOP | {
    *("content-length", "content-encoding", "set-cookie", "alt-svc", "strict-transport-security"),
    *("anthropic-organization-id", "openai-organization", "openai-project"),
}
"""The headers that are dropped from an answer: those of the service's connection, and those that say who pays.

The answer's body is decoded, and passed on as it comes.
"""
_NO_CONNECTION: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)
_PROXIED: Final = frozenset(("http", "https", "all"))
"""What the host's variables may name a proxy for. Another one, `no`, lists the hosts that need none."""
_parsed: Final = lru_cache(maxsize=64)(httpx2.URL)  # a session asks for the same few addresses again and again


class Forwarder:
    """Forwards requests to a service, with the credential's key if it has one.

    `service` is its address before `/v1`, or its addresses.

    It is an async context manager. Its connections live on the event loop where it was entered. Unless `trusted` is
    given, it trusts the host's certificates, or those in the file that the host's variable `SSL_CERT_FILE` names. It
    reaches other machines through the host's proxies (`HTTPS_PROXY`).
    """

    def __init__(
        self,
        service: str | Door,
        credential: Credential | None = None,
        *,
        trusted: ssl.SSLContext | None = None,
    ) -> None:
        self._door = service if isinstance(service, Door) else Door(service.rstrip("/"))
        self._base_url = self._door.base_url
        self._credential = credential or Credential()
        self._trusted = trusted
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        tls = self._trusted or httpx2.create_ssl_context()
        proxied = bool(getproxies().keys() & _PROXIED) and urlsplit(self._base_url).hostname not in LOOPBACK
        self._client = httpx2.AsyncClient(
            verify=tls,
            transport=None if proxied else DirectTransport(tls),  # only httpx2's own transport knows proxies
            trust_env=proxied,
            timeout=httpx2.Timeout(None, connect=CONNECT_S),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=KEPT, keepalive_expiry=KEPT_S),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client:
            await self._client.aclose()

    async def answer(self, call: Call) -> Answer:
        """Return the service's own answer, even if it is an error. Raise `AnswerError` 502 if there is no answer."""
        body, note = _with_usage(call)
        response = await self._send(call, body)
        failed = response.status_code >= 400
        chunks = self._failure(response) if failed else self._chunks(response)
        headers = self._passed_on(response.headers)
        return Answer(status=response.status_code, headers=headers, chunks=chunks, close=response.aclose, note=note)

    async def count_tokens(self, call: Call) -> int:
        """Return the service's count, or a pseudo-count if it does not count. Raise `AnswerError` if it fails."""
        response = await self._send(call, call.body)
        try:
            body = await self._beginning(response)
        except StreamCut as error:
            raise AnswerError(502, str(error)) from None
        finally:
            await response.aclose()
        if response.status_code in {404, 405, 501}:
            return pseudo_count(call.body)
        count = _count(body, call.wire.COUNTED_AS) if response.status_code == 200 else None
        if count is None:
            status = response.status_code if response.status_code >= 400 else 502
            raise AnswerError(status, body[:500].decode("utf-8", "replace"))
        return count

    async def _send(self, call: Call, body: bytes) -> httpx2.Response:
        if self._client is None:
            raise RuntimeError("enter a Forwarder (`async with`) before you use it")
        # The body was read as JSON. Another type would let the service read it in another way.
        headers = {**call.headers, "accept-encoding": "identity", "content-type": "application/json"}
        unsigned = Unsigned(self._door.address(call), headers, self._door.body(call, body))
        try:
            return await self._readable(await self._signed(self._client, unsigned))
        except _NO_CONNECTION as error:
            raise Unreachable(502, self._hidden(unreachable(self._base_url, _said(error)))) from None
        except httpx2.TransportError as error:
            said = f"no answer from the model service at {self._base_url}: {_said(error)}"
            raise AnswerError(502, self._hidden(said)) from None

    async def _readable(self, response: httpx2.Response) -> httpx2.Response:
        """Return the response. Raise `AnswerError` 502 if its encoding is unknown here, such as `br` or `zstd`."""
        encoding = _encoding(response)
        if encoding not in PLAIN | PACKED:
            await response.aclose()
            said = f"the model service answers in encoding {encoding}, which was not requested"
            raise AnswerError(502, self._hidden(said))
        return response

    async def _signed(self, client: httpx2.AsyncClient, unsigned: Unsigned) -> httpx2.Response:
        """Send the request with what shows who asks. If the service knows a newer key, send it a second time."""
        signature = await self._credential.signed(unsigned)
        response = await self._connected(client, unsigned, signature)
        if response.status_code == HTTPStatus.UNAUTHORIZED and await self._credential.renewed(signature):
            await response.aclose()
            response = await self._connected(client, unsigned, await self._credential.signed(unsigned))
        return response

    async def _connected(
        self, client: httpx2.AsyncClient, unsigned: Unsigned, signature: Mapping[str, str]
    ) -> httpx2.Response:
        """Send the request. If no connection can be made, try again after each pause."""
        headers = unsigned.headers | {name.lower(): value for name, value in signature.items()}
        request = client.build_request("POST", _parsed(unsigned.url), headers=headers, content=unsigned.body)
        for pause_s in PAUSES_S:
            try:
                return await client.send(request, stream=True, auth=_as_it_is)
            except httpx2.ConnectError:
                await asyncio.sleep(pause_s)
        return await client.send(request, stream=True, auth=_as_it_is)

    async def _chunks(self, response: httpx2.Response) -> AsyncGenerator[bytes]:
        """Yield the body without the key, each piece as soon as it has come."""
        encoding, raw = _encoding(response), response.aiter_raw()
        hider = self._credential.hider()
        cut = None
        try:
            async for chunk in within(unpacked(raw, encoding) if encoding in PACKED else raw, MAX_ANSWER):
                if passed := hider.feed(chunk):
                    yield passed
        except httpx2.HTTPError as error:
            cut = self._hidden(f"the model service broke off its answer: {_said(error)}")
        if rest := hider.finish():
            yield rest
        if cut is not None:
            raise StreamCut(cut)

    async def _failure(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """Yield the body of an error answer in one piece."""
        yield await self._beginning(response)

    async def _beginning(self, response: httpx2.Response) -> bytes:
        """Return the answer's body, or its first `MAX_FAILURE` bytes."""
        body = bytearray()
        async with aclosing(self._chunks(response)) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > MAX_FAILURE:
                    break
        return bytes(body[:MAX_FAILURE])

    def _passed_on(self, headers: httpx2.Headers) -> dict[str, str]:
        kept = {name.lower(): value for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON}
        return {name: self._hidden(value) for name, value in kept.items() if self._hidden(name) == name}

    def _hidden(self, text: str) -> str:
        """Return a text about the service, or by it, without the key."""
        return self._credential.hide(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _with_usage(call: Call) -> tuple[bytes, str | None]:
    """Return the body to send, and a note of what was changed in it."""
    request = call.request
    if call.wire.NAME != openai_chat.NAME or not request.stream or request.stream_usage:
        return call.body, None
    data: dict[str, Any] = json.loads(call.body)
    data["stream_options"] = {**(data.get("stream_options") or {}), "include_usage": True}
    return json.dumps(data, separators=(",", ":")).encode(), USAGE_ASKED


def _as_it_is(request: httpx2.Request) -> httpx2.Request:
    """Add no other credentials to a request, such as those of .netrc."""
    return request


def _encoding(response: httpx2.Response) -> str:
    said: str = response.headers.get("content-encoding", "").strip()
    return said.lower() if said.lower() in PLAIN | PACKED else said


def _count(body: bytes, key: str | None) -> int | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    count = answer.get(key) if isinstance(answer, Mapping) else None
    return count if isinstance(count, int) and count >= 0 else None


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
