"""A stand-in for a remote model service: real TLS, every wire, and every way in which such a service misbehaves."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
import trustme
import uvicorn
from msgspec import Struct

from harness.gateway.provider import AnswerError, Call, Provider, StreamCut
from harness.gateway.routes import route
from harness.gateway.wires.base import dumps

STOP_S = 10.0


class Certificate:
    """A certificate authority of this test run, and the certificate for 127.0.0.1 that it signed."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.authority_file = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority_file))
        self._chain = folder / "chain.pem"
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(self._chain))

    def trusted(self) -> ssl.SSLContext:
        """Return a TLS context that trusts the authority."""
        return ssl.create_default_context(cafile=str(self.authority_file))

    @property
    def chain(self) -> str:
        """The file with the private key and the chain."""
        return str(self._chain)


class Manner(Struct, frozen=True, kw_only=True):
    """How the service answers, beyond what its model says.

    `body` replaces the model's answer; `status` is its status. `sizes` are the sizes of the pieces in which the service
    sends it (the rest follows in one piece). A gate is shut before the headers (`hold_headers`) or after a number of
    pieces (`hold_after`) until the test opens it. The service cuts the connection after `cut_after` pieces. `count` is
    its count of a prompt's tokens; if it is `None`, there is no such endpoint. `at` has whole answers of further paths.
    """

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    sizes: Sequence[int] | None = None
    hold_headers: bool = False
    hold_after: int | None = None
    cut_after: int | None = None
    gzip: bool = False
    count: int | None = None
    at: Mapping[str, bytes] = {}


class Received(Struct, frozen=True):
    """A request as the service received it."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


class Upstream:
    """The service; a context manager. `model` writes its answers, `manner` says how to send them.

    `workspace` is the path of the asking CLI's workspace.

    `requests` are the requests received, `connections` the ports of the clients that sent them, and `sent` the bodies
    of the answers before any compression. `gone` counts the clients that left before the end of an answer. `open()`
    opens the gate.
    """

    def __init__(self, certificate: Certificate | None, model: Provider, workspace: str = "/w") -> None:
        self.certificate = certificate
        self.model = model
        self.workspace = workspace
        self.manner = Manner()
        self.requests: list[Received] = []
        self.connections: set[int] = set()
        self.sent: list[bytes] = []
        self.gone = 0
        self._gate = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections inherit it
        self._thread = threading.Thread(target=self._loop.run_forever, name="upstream", daemon=True)

    @property
    def url(self) -> str:
        """The address, without `/v1`."""
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self._socket.getsockname()[1]}"

    def open(self) -> None:
        """Open the gate for all requests, present and future."""
        self._gate.set()

    @contextmanager
    def behaving(self, **manner: Any) -> Iterator[None]:
        """Behave in this manner inside the `with` block. Forget earlier requests first."""
        self.requests.clear()
        self.connections.clear()
        self.sent.clear()
        self.gone = 0
        self._gate.clear()
        self.manner = Manner(**manner)
        try:
            yield
        finally:
            self.open()
            self.manner = Manner()

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_S)
        self._loop.close()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(STOP_S)

    async def _start(self) -> None:
        chain = self.certificate.chain if self.certificate else None
        config = uvicorn.Config(
            self._serve,
            http="h11",
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="critical",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            ssl_certfile=chain,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[self._socket])

    async def _stop(self) -> None:
        for server in self._server.servers:
            server.close()
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        tasks = list(self._server.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        path = scope["path"] + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append(Received(path, headers, body))
        self.connections.add(scope["client"][1])
        answering = asyncio.ensure_future(self._answer(path, headers, body, send))
        leaving = asyncio.ensure_future(_left(receive))
        done, _ = await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if answering not in done:
            self.gone += 1
            answering.cancel()
        leaving.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)
        if answering.done() and not answering.cancelled() and answering.exception():
            raise ConnectionAbortedError  # the server drops the connection

    async def _answer(self, path: str, headers: Mapping[str, str], body: bytes, send: Any) -> None:
        manner = self.manner
        if manner.hold_headers:
            await self._opened()
        status, said, chunks = await self._said(path, headers, body)
        pieces = [chunk async for chunk in chunks]
        whole = b"".join(pieces)
        self.sent.append(whole)
        told = {"content-type": said, **manner.headers}
        if manner.gzip:
            whole, told = gzip.compress(whole), {**told, "content-encoding": "gzip"}
            pieces = [whole]
        if manner.sizes is not None:
            pieces = list(_cut(whole, manner.sizes))
        raw = [(name.encode(), value.encode()) for name, value in told.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        for number, piece in enumerate(pieces):
            await self._before(number)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._before(len(pieces))
        await send({"type": "http.response.body"})

    async def _before(self, number: int) -> None:
        if number == self.manner.cut_after:
            raise StreamCut
        if number == self.manner.hold_after:
            await self._opened()

    async def _opened(self) -> None:
        while not self._gate.is_set():
            await asyncio.sleep(0.005)

    async def _said(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, AsyncIterator[bytes]]:
        """Return the status, content type and body of the answer by the model or the manner."""
        manner, asked = self.manner, route(path.partition("?")[0])
        if path in manner.at:
            return 200, "application/json", _bytes(manner.at[path])
        if manner.body is not None:
            return manner.status, "application/json", _bytes(manner.body)
        if asked is None or (asked.counts and manner.count is None):
            return 404, "text/plain", _bytes(b"no such endpoint")
        if asked.counts:
            return 200, "application/json", _bytes(dumps({asked.wire.COUNTED_AS: manner.count}).encode())
        call = Call(
            request=asked.wire.parse(body, path),
            wire=asked.wire,
            path=path,
            headers=headers,
            body=body,
            workspace=self.workspace,
        )
        try:
            answer = await self.model.answer(call)
        except AnswerError as error:
            return error.status, "application/json", _bytes(dumps(asked.wire.error(error.status, str(error))).encode())
        return answer.status, answer.headers["content-type"], answer.chunks


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _bytes(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _cut(body: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        piece = body[start : start + size]
        start += size
        if piece:
            yield piece
    if body[start:]:
        yield body[start:]
