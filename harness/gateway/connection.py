"""One connection to a model service. It speaks HTTP/1.1, and its parser is written in C."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Sequence
from typing import Final, cast

import httptools
import httpx2

Headers = list[tuple[bytes, bytes]]

HELD: Final = 256 * 1024
"""How many bytes of an answer wait here for their reader. Beyond this, the connection stops reading."""
MAX_HEADERS: Final = 256 * 1024
"""The most bytes that the headers of an answer may have."""

_FRAMES: Final = frozenset((b"content-length", b"transfer-encoding"))


class Connection(asyncio.Protocol):
    """Carries one request at a time: `ask`, then `read` until the answer ends.

    It can carry another request if it `is_reusable` then.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._fault: httpx2.TransportError | None = None
        self._headers: Headers = []
        self._pieces: list[bytes] = []
        self._held = 0
        self._start(asked=False)

    def _start(self, *, asked: bool) -> None:
        self._parser = httptools.HttpResponseParser(self)
        # What h11, the parser of httpx2's own transport, takes too.
        self._parser.set_dangerous_leniencies(
            lenient_chunked_length=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._size = 0
        self._begun = self._keeps_alive = False
        self._ended = not asked

    async def ask(self, request: Sequence[bytes]) -> tuple[int, Headers]:
        """Send a request, and return the status and the headers of its answer.

        Raise `httpx2.TransportError` if there is no answer.
        """
        self._start(asked=True)
        self._transport.writelines(request)
        while not self._begun:
            await self._news()
        return self._status, self._headers

    async def read(self) -> bytes:
        """Return the bytes that have come since the last call, or wait for the next. At the answer's end, return none.

        Raise `httpx2.TransportError` if the answer breaks off, once everything that came before has been read.
        """
        while not self._pieces:
            if self._ended:
                return b""
            await self._news()
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        self._transport.resume_reading()
        return data

    @property
    def is_reusable(self) -> bool:
        """Whether the last answer was read to its end, and the connection can carry another request."""
        done = self._ended and not self._pieces and not self._transport.get_write_buffer_size()
        return done and self._keeps_alive and not self._transport.is_closing()

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing to read. A connection that the service has closed is not silent."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket"), select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Drop the connection at once, even in the middle of an answer."""
        self._transport.abort()

    async def _news(self) -> None:
        """Wait until something comes. Raise if the connection is lost."""
        if self._fault:
            raise self._fault
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes. Drop the connection if they are not an answer."""
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._drop("the service switches to another protocol")
        except httptools.HttpParserError as error:
            self._drop(f"the answer is not valid HTTP/1.1: {error}")
        if not self._begun and self._size > MAX_HEADERS:
            self._drop(f"the headers of the answer are larger than {MAX_HEADERS} bytes")
        if self._held > HELD:
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """End an answer that lasts until its connection ends. Any other answer breaks off."""
        framed = any(name.lower() in _FRAMES for name, _ in self._headers)
        if self._begun and not framed and not exc and not self._fault:
            self._ended = True
        if exc:
            self._fault = self._fault or httpx2.ReadError(str(exc))
        elif self._begun:
            self._drop("the service closed the connection before the answer's end")
        else:
            self._drop("the service closed the connection without an answer")
        self._wake()

    def _drop(self, why: str) -> None:
        self._fault = self._fault or httpx2.RemoteProtocolError(why)
        self._transport.abort()

    # What the parser calls

    def on_message_begin(self) -> None:
        """Expect headers. Raise `ValueError` if no answer is expected."""
        if self._ended:
            raise ValueError("nothing was asked")
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. One that follows the body is dropped."""
        if not self._begun:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Begin the answer, unless it is only an interim one, such as `100 Continue`."""
        self._status = self._parser.get_status_code()
        self._begun = self._status >= 200
        self._keeps_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the answer."""
        self._pieces.append(body)
        self._held += len(body)

    def on_message_complete(self) -> None:
        """End the answer."""
        self._ended = self._begun
