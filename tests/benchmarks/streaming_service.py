"""A model service that streams one canned answer as fast as it can: `python -m tests.benchmarks.streaming_service`.

It prints its port, and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Iterator
from typing import Any

EVENTS = 105
"""How many server-sent events the answer has."""


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "demo", "choices": [choice]}


def _events() -> Iterator[bytes]:
    chunks = [_chunk({"role": "assistant", "content": ""})]
    chunks += [_chunk({"content": f"word {number} and some more "}) for number in range(EVENTS - 4)]
    usage = {"prompt_tokens": 7, "completion_tokens": EVENTS, "total_tokens": EVENTS + 7}
    chunks += [_chunk({}, "stop"), {**_chunk({}), "choices": [], "usage": usage}]
    for data in (*map(json.dumps, chunks), "[DONE]"):
        yield f"data: {data}\n\n".encode()


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_PIECES = [_HEAD, *(b"%x\r\n%b\r\n" % (len(event), event) for event in _events()), b"0\r\n\r\n"]


class _Connection(asyncio.Protocol):
    """Answers every request, however it reads, with the canned answer: each event is a write of its own."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._came = b""
        self._answering: set[asyncio.Task[None]] = set()

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, found, body = self._came.partition(b"\r\n\r\n")
        if not found:
            return
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if lengths and len(body) < int(lengths[0].partition(b":")[2]):
            return
        self._came = b""
        answering = asyncio.get_running_loop().create_task(self._answer())
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)

    async def _answer(self) -> None:
        for piece in _PIECES:
            self._transport.write(piece)
            await asyncio.sleep(0)


async def _serve() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections inherit it
    await asyncio.get_running_loop().create_server(_Connection, sock=listener)
    print(listener.getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
