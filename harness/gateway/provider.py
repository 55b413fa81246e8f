"""The provider interface. A provider answers the model requests that the gateway admits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final, Protocol

from msgspec import Struct

from harness.gateway.messages import ModelRequest
from harness.gateway.upstream_reader import UpstreamReader
from harness.gateway.wires.base import Wire

MAX_MESSAGE: Final = 2000
"""The most characters of an error's message. It may quote what a client or a service sent."""


class AnswerError(Exception):
    """A request is answered with an error. The CLI gets `status` and the message in its wire's form."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}...")
        self.status = status


class HeldBack(AnswerError):
    """The service has told when it wants to be asked again, and that is too long for a request to wait."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(429, message)
        self.retry_after_s = retry_after_s


class Unreachable(AnswerError):
    """No connection to the model service can be made, although it was tried for a while. The session ends."""


class StreamCut(Exception):
    """An answer breaks off here, and so does the CLI's connection. An answer's chunks raise it."""


class Call(Struct, frozen=True, kw_only=True):
    """One model request, parsed, and as it came: path with query, headers in lower case, body.

    `workspace` is the path of the session's workspace as its CLI sees it.
    """

    request: ModelRequest
    wire: Wire
    path: str
    headers: Mapping[str, str]
    body: bytes
    workspace: str = ""


async def _nothing() -> None:
    """Release nothing."""


class Answer(Struct, frozen=True, kw_only=True):
    """An answer in its wire's own bytes. The CLI gets them unchanged, each chunk as soon as it arrives.

    `headers` have lower-case names. `close` releases the answer's resources, even if its chunks were not read. `note`
    tells the ledger what was changed in the request. `metered` is set if the CLI gets a translation: it reads the
    provider's own bytes.
    """

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]] = _nothing
    note: str | None = None
    metered: UpstreamReader | None = None

    @property
    def is_streamed(self) -> bool:
        """Whether the answer is a stream of server-sent events."""
        return self.headers.get("content-type", "").startswith("text/event-stream")


class Provider(Protocol):
    """Answers model requests. Its methods run on the gateway's event loop, and several calls may run at once."""

    async def answer(self, call: Call) -> Answer:
        """Answer a request. Raise `AnswerError` for an error. The chunks of an answer that breaks off raise."""

    async def count_tokens(self, call: Call) -> int:
        """Return the number of tokens in the request's prompt. Raise `AnswerError`."""
