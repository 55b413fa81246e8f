"""Serves ASGI apps on sockets that already listen, from one event loop on its own thread.

The sockets may come from another network namespace (through SCM_RIGHTS), so nothing here binds or connects.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import threading
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from harness.http_intake import AsgiApp, Intake

START_S = 30.0
"""How many seconds an app's start-up may take."""
STOP_S = 10.0
"""How many seconds an app's shutdown may take. After that, the app is left behind on its daemon thread."""
MAX_HEADERS = 64 * 1024
"""The most bytes that the headers of a request may have."""
KEEP_ALIVE_S = 3600
"""Seconds that an idle connection stays open. It is long, so that a CLI never reuses a connection that is closing."""
MAX_CONNECTIONS: Final = 64
"""The most open connections of an app. A process that may open few files allows fewer (`connections_allowed`)."""
MAX_PIPELINED: Final = 4
"""The most requests that a client may send on a connection while an earlier one is being answered."""

_T = TypeVar("_T")

# Without this handler, logging's handler of last resort would print uvicorn's warnings on standard error.
logging.getLogger("uvicorn").addHandler(logging.NullHandler())


def connections_allowed() -> int:
    """Return the most open connections of an app: a sixteenth of the files that this process may open, or fewer."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else max(8, min(MAX_CONNECTIONS, files // 16))


class HttpHostError(Exception):
    """An app cannot be served. The message says why."""


class Served:
    """An app that is being served on one socket. `HttpHost.serve` makes it."""

    def __init__(
        self, host: HttpHost, server: uvicorn.Server, listener: socket.socket, original: socket.socket
    ) -> None:
        self._host = host
        self._server = server
        self._listener = listener
        self._original = original
        self._closed = False

    def close(self) -> None:
        """Stop listening, drop the open connections, cancel their requests, and shut the app down.

        When it returns, every request's `finally` has run. May be called again.
        """
        if self._closed:
            return
        self._closed = True
        self._host._forget(self)
        self._original.close()
        self._host._run(self._stop(), STOP_S, "shutting the app down")

    async def _stop(self) -> None:
        for server in self._server.servers:
            server.close()
        self._listener.close()
        state = self._server.server_state
        for connection in list(state.connections):
            connection.transport.abort()
        requests = list(state.tasks)
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        await self._server.lifespan.shutdown()


class HttpHost:
    """Serves any number of ASGI apps from one daemon thread. Leaving its context stops everything."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._served: list[Served] = []
        self._closed = False
        self._thread = threading.Thread(target=self._main, name="http-host", daemon=True)
        self._thread.start()

    def serve(self, app: AsgiApp, listener: socket.socket, intake: Intake | None = None) -> Served:
        """Serve `app` on `listener`, and return when it accepts requests. `listener` is closed when serving ends.

        `intake` bounds the bodies of its requests. If too many connections are open, the one closes that has been
        silent for longest, unless its request is being answered.

        Raise `HttpHostError` if the app's start-up fails or takes longer than `START_S` seconds.
        """
        if self._closed:
            raise HttpHostError("this HTTP host is closed")
        own = listener.dup()  # the event loop keeps its socket even if someone else closes `listener`
        try:
            server = self._run(_start((intake or Intake()).bounded(app), own), START_S, "starting the app")
        except BaseException:
            own.close()
            raise
        served = Served(self, server, own, listener)
        self._served.append(served)
        return served

    def close(self) -> None:
        """Stop every app, then the event loop and its thread. May be called again."""
        if self._closed:
            return
        for served in list(self._served):
            served.close()
        self._closed = True
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(STOP_S)

    def _main(self) -> None:
        """Run the loop until `close`, then cancel what is left, such as a start-up that never ended."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._stop.wait())

    def _run(self, work: Coroutine[Any, Any, _T], seconds: float, what: str) -> _T:
        """Run `work` on the event loop and wait for it. Raise `HttpHostError` if it takes longer than `seconds`."""
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop)
        try:
            return future.result()
        except TimeoutError:
            raise HttpHostError(f"{what} took longer than {seconds:g} s") from None

    def _forget(self, served: Served) -> None:
        self._served.remove(served)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _HostProtocol(HttpToolsProtocol):
    """The server's side of a connection.

    It sends small pieces at once. asyncio does so only for sockets that are made with TCP as their protocol, and those
    of `socket.create_server` are not. It also limits the number of connections, the requests that wait on one, and the
    size of a request's headers, because uvicorn does not, and a program in the sandbox could fill the host's memory.
    """

    _heard = 0.0
    """The time (`time.monotonic`) of the last bytes."""

    _headers_size = 0
    """The bytes that came since the last piece of a body, or the last request. They are headers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Turn off Nagle's algorithm, which can delay an answer by 40 ms. Unix sockets do not have it."""
        connection = transport.get_extra_info("socket")
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        self._heard = time.monotonic()
        self._make_room()

    def _make_room(self) -> None:
        """Close a connection if there are too many: the one that has been silent for longest, or else this one.

        A connection whose request is being answered stays.
        """
        others = [one for one in self.connections if one is not self and not one.transport.is_closing()]
        if len(others) >= connections_allowed():
            silent = [one for one in others if isinstance(one, _HostProtocol) and not one._is_answering]
            min(silent, key=lambda one: one._heard, default=self).transport.abort()

    @property
    def _is_answering(self) -> bool:
        """Whether a whole request has come, and its answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def on_message_begin(self) -> None:
        """Begin a request. Raise `ValueError`, which closes the connection, if too many of them wait already."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError(f"more than {MAX_PIPELINED} requests wait on one connection")
        super().on_message_begin()

    def data_received(self, data: bytes) -> None:
        """Parse the bytes. Close the connection if a request's headers are larger than `MAX_HEADERS`."""
        self._heard = time.monotonic()
        self._headers_size += len(data)
        super().data_received(data)
        if self._headers_size > MAX_HEADERS and not self.transport.is_closing():
            self.send_400_response(f"The request's headers are larger than {MAX_HEADERS} bytes.")

    def on_body(self, body: bytes) -> None:
        """Take a piece of a request's body."""
        self._headers_size = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._headers_size = 0
        super().on_message_complete()


async def _start(app: AsgiApp, listener: socket.socket) -> uvicorn.Server:
    """Start a uvicorn server from its parts, because `Server.serve` polls ten times a second and is slow to stop."""
    failure: list[BaseException] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except BaseException as error:
            if scope["type"] == "lifespan":
                failure.append(error)
            raise

    config = uvicorn.Config(
        watched,
        http=_HostProtocol,
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=2 * connections_allowed(),  # as many are accepted before any of them can be closed
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    try:
        await server.startup(sockets=[listener])
    except SystemExit:  # uvicorn's way of saying that the lifespan failed
        cause = failure[0] if failure else None
        raise HttpHostError(f"the app's start-up failed: {cause!r}") from cause
    except OSError as error:
        await server.lifespan.shutdown()
        raise HttpHostError(f"cannot serve on the socket: {error}") from error
    return server
