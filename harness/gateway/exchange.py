"""One model request on its way: to the provider, back to the CLI, and into the books."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from harness.gateway.budget import Budget
from harness.gateway.messages import Outcome, Usage
from harness.gateway.meter import Entry, Failure, Meter
from harness.gateway.provider import Answer, AnswerError, Call, Provider, StreamCut
from harness.gateway.wires.reader import Reader

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ERROR_EXCERPT = 500
"""Bytes of a provider's error answer that the books keep."""


class Exchange:
    """A model request whose turn, if it is one, has been reserved; `run` answers it, `settle` closes the account of it.

    The totals are settled before the CLI can see the end of its answer: whoever has seen it finds them up to date.
    """

    def __init__(self, call: Call, entry: Entry, meter: Meter, budget: Budget) -> None:
        self._call = call
        self._entry = entry
        self._meter = meter
        self._budget = budget
        self._settled = False
        self._abandoned = False

    async def run(self, provider: Provider, send: Send) -> None:
        """Have the provider answer, and pass the answer on.

        Raises `AnswerError` before anything was sent; a fault of the provider becomes one with status 500.
        """
        try:
            answer = await self._answer(provider)
        except AnswerError as error:
            self._entry.status, self._entry.error = error.status, str(error)
            raise
        self._entry.status = answer.status
        self._entry.retry_after_s = _seconds(answer.headers.get("retry-after"))
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            await self._stream(answer, send)
        else:
            await self._whole(answer, send)

    async def _answer(self, provider: Provider) -> Answer:
        try:
            return await provider.answer(self._call)
        except AnswerError:
            raise
        except Exception as error:  # a fault in a provider must end in the books, not on a terminal
            raise AnswerError(500, f"the provider failed: {error!r}") from error

    def settle(self, outcome: Outcome = Outcome()) -> None:  # noqa: B008 (frozen)
        """Enter the outcome; without one, nothing came back. Only the first call counts."""
        if self._settled:
            return
        self._settled = True
        reserved = self._entry.kind == "turn"
        turn = reserved and outcome.complete and outcome.error is None
        self._entry.error = self._entry.error or outcome.error
        self._meter.answered(self._entry, outcome, turn=turn)
        self._budget.spend(outcome.usage or Usage(), self._entry.cost_usd)
        if turn:
            self._meter.succeeded()
        elif reserved:
            self._budget.give_back()
            if self._entry.error and not self._abandoned:
                self._meter.failed(Failure(self._entry.status, self._entry.error, self._entry.retry_after_s))

    async def _stream(self, answer: Answer, send: Send) -> None:
        reader = Reader(self._call.wire, streamed=True)
        try:
            async for chunk in answer.chunks:
                self._meter.touch(self._entry)
                reader.feed(chunk)
                if reader.outcome.complete:
                    self.settle(reader.outcome)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except asyncio.CancelledError:  # the client went away, or the session is being closed
            self._abandoned = True
            raise
        except Exception as error:
            self._entry.error = self._entry.error or _broken(error)
            return  # without a last message: the server drops the connection
        finally:
            reader.finish()
            self.settle(reader.outcome)
        await send({"type": "http.response.body"})

    async def _whole(self, answer: Answer, send: Send) -> None:
        """Pass on an answer that is not streamed, in one piece: its outcome must be known before it is sent."""
        reader = Reader(self._call.wire, streamed=False)
        body = bytearray()
        cut: str | None = None
        try:
            async for chunk in answer.chunks:
                self._meter.touch(self._entry)
                body += chunk
        except Exception as error:
            cut = _broken(error)
        if cut or answer.status != 200:
            self._entry.error = cut or body[:ERROR_EXCERPT].decode("utf-8", "replace")
            self.settle()
        else:
            reader.feed(bytes(body))
            reader.finish()
            self.settle(reader.outcome)
        await send({"type": "http.response.body", "body": bytes(body), "more_body": cut is not None})


def _seconds(retry_after: str | None) -> float | None:
    """The header's value where it is a number; a date is left to whoever reads the message."""
    try:
        seconds = float(retry_after or "nan")
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None


def _broken(error: Exception) -> str:
    """What the books say of an answer that broke off: the provider meant it so, or has a fault."""
    return str(error) if isinstance(error, StreamCut) else f"the provider failed: {error!r}"
