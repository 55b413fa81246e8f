"""Bounds what clients of an HTTP app may make the host hold in memory: the bodies of their requests.

The clients run in a sandbox, and the app runs on the host. Without these bounds, a program in the sandbox could fill
the host's memory with requests that it never completes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from harness.json_scan import JsonScan, JsonTooLarge

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

MAX_BODY: Final = 32 * 1024 * 1024
"""The most bytes that a request's body may have. Model services take no more."""

MAX_HELD: Final = 64 * 1024 * 1024
"""The most bytes that the bodies of all open requests of an app may have together."""


class IntakeRefused(Exception):
    """A request's body is refused. `status` is the HTTP status of the answer, and the message explains it."""

    def __init__(self, status: int, explanation: str) -> None:
        super().__init__(explanation)
        self.status = status


class Intake:
    """The byte budget of one app. `bounded` returns the app with the bounds.

    Reading a request's body raises `IntakeRefused` in the app if the body is compressed (415), is too large or would
    take too much memory as JSON (413), or if the open requests hold too much (503). An app that does not catch it
    answers with the explanation as plain text.
    """

    def __init__(self, *, max_body: int = MAX_BODY, max_held: int = MAX_HELD) -> None:
        self.held = 0
        self._max_body = max_body
        self._max_held = max_held

    def bounded(self, app: AsgiApp) -> AsgiApp:
        """Return the app, whose requests draw on this budget while they are open."""

        async def serve(scope: Message, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            request = _OpenRequest(self, scope, receive, send)
            try:
                await app(scope, request.receive, request.send)
            except IntakeRefused as refusal:
                if request.answered:
                    raise
                await _refuse(refusal, send)
            finally:
                request.release()

        return serve

    def take(self, size: int, so_far: int) -> None:
        """Take the next bytes of a body that already has `so_far`. Raise `IntakeRefused` if they are too many."""
        if so_far + size > self._max_body:
            raise IntakeRefused(413, f"the request's body is larger than {self._max_body} bytes")
        if self.held + size > self._max_held:
            raise IntakeRefused(503, f"the open requests hold more than {self._max_held} bytes; try again later")
        self.held += size

    def give_back(self, size: int) -> None:
        """Give back the bytes of a request that has ended."""
        self.held -= size


class _OpenRequest:
    """One request: what its body takes of the budget, and whether its answer has begun."""

    def __init__(self, intake: Intake, scope: Message, receive: Any, send: Any) -> None:
        self.answered = False
        self._intake = intake
        self._receive = receive
        self._send = send
        self._taken = 0
        self._scan = JsonScan()
        said = (value.decode("latin-1") for name, value in scope["headers"] if name == b"content-encoding")
        self._encoding = ", ".join(value for value in said if value.strip().lower() not in {"", "identity"})

    async def receive(self) -> Message:
        if self._encoding:
            raise IntakeRefused(415, f"a body in encoding {self._encoding} is not read here: send it as it is")
        message: Message = await self._receive()
        piece = message.get("body", b"")
        if piece:
            self._intake.take(len(piece), self._taken)
            self._taken += len(piece)
            try:
                self._scan.feed(piece)
            except JsonTooLarge as error:
                raise IntakeRefused(413, f"the request's body is refused: {error}") from None
        return message

    async def send(self, message: Message) -> None:
        self.answered = True
        await self._send(message)

    def release(self) -> None:
        self._intake.give_back(self._taken)
        self._taken = 0


async def _refuse(refusal: IntakeRefused, send: Any) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": str(refusal).encode()})
