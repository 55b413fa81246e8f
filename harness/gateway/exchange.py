"""One model request on its way: to the provider, back to the CLI, and into the ledger."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import anyio
import msgspec

from harness.gateway.budget import Reservation
from harness.gateway.ledger import Ledger, LedgerEntry, RequestFailure
from harness.gateway.messages import BYTES_PER_TOKEN, AnswerOutcome, TokenCounts, pseudo_count
from harness.gateway.provider import Answer, AnswerError, Call, Provider, StreamCut, Unreachable
from harness.gateway.wires.reader import Reader

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ERROR_EXCERPT: Final = 500
"""How many bytes of a provider's error answer the ledger keeps."""

_NOTHING: Final = AnswerOutcome()


class Exchange:
    """A model request on its way. `run` lets the provider answer it, and settles its reservation.

    The totals are settled before the CLI can see the end of its answer. So whoever sees the end finds them up to date.
    """

    def __init__(self, call: Call, entry: LedgerEntry, ledger: Ledger, reservation: Reservation) -> None:
        self._call = call
        self._entry = entry
        self._ledger = ledger
        self._reservation = reservation
        self._unreachable = False
        self._begun = False
        self._seen = 0

    async def run(self, provider: Provider, send: Send) -> None:
        """Let the provider answer, and pass the answer on.

        Raise `AnswerError` if there is no answer to pass on, before anything is sent. A fault of the provider becomes
        an `AnswerError` 500.
        """
        try:
            answer = await self._answer(provider)
        except AnswerError as error:
            self._entry.status, self._entry.error = error.status, str(error)
            self._unreachable = isinstance(error, Unreachable)
            self._settle()
            raise
        except asyncio.CancelledError:
            self._settle(left=True)
            raise
        try:
            await self._pass_on(answer, send)
        finally:
            with anyio.CancelScope(shield=True):
                await _let_go(answer)

    async def _answer(self, provider: Provider) -> Answer:
        try:
            return await provider.answer(self._call)
        except AnswerError:
            raise
        except Exception as error:  # a fault in a provider must end in the ledger, not on a terminal
            raise AnswerError(500, f"the provider failed: {error!r}") from error

    def _settle(self, outcome: AnswerOutcome = _NOTHING, *, left: bool = False) -> None:
        """Enter the outcome in the ledger, and settle the reservation. Only the first call counts.

        Without an outcome, nothing came back. `left` says that the client went away. A whole answer uses a turn. So
        does an answer that had begun when its client left: it costs money, and otherwise a client could read most of
        each answer for free. A client that leaves is charged for what the answer may have used.
        """
        if self._reservation.settled:
            return
        entry, is_turn = self._entry, self._entry.kind == "turn"
        whole = outcome.complete and outcome.error is None
        left = left and not whole
        entry.error = entry.error or outcome.error
        if left and entry.status in {None, 200}:
            entry.charged = self._estimate(outcome.usage)
        usage = entry.charged or outcome.usage or TokenCounts()
        self._ledger.answered(entry, outcome, turn=is_turn and whole)
        self._reservation.settle(usage, self._ledger.cost_usd(usage), counts=whole or (left and self._begun))
        if is_turn and whole:
            self._ledger.succeeded()
        elif is_turn and entry.error and not left:
            failure = RequestFailure(entry.status, entry.error, entry.retry_after_s, unreachable=self._unreachable)
            self._ledger.failed(failure)

    def _estimate(self, told: TokenCounts | None) -> TokenCounts:
        """Return what an answer may have used by the time its client left, because services bill all of it."""
        known = told or TokenCounts(input_tokens=pseudo_count(self._call.body))
        return msgspec.structs.replace(known, output_tokens=max(known.output_tokens, self._seen // BYTES_PER_TOKEN))

    async def _pass_on(self, answer: Answer, send: Send) -> None:
        self._entry.status, self._entry.note = answer.status, answer.note
        self._entry.retry_after_s = _retry_after_s(answer.headers)
        self._begun = answer.status == 200
        headers = [(_raw(name.lower()), _raw(value)) for name, value in answer.headers.items()]
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            if answer.is_streamed:
                await self._stream(answer, send)
            else:
                await self._whole(answer, send)
        except asyncio.CancelledError:  # the client went away, or the session is being closed
            self._settle(left=True)
            raise
        finally:
            self._settle()

    async def _stream(self, answer: Answer, send: Send) -> None:
        reader = Reader(self._call.wire, streamed=True)
        try:
            async for chunk in answer.chunks:
                self._ledger.touch(self._entry)
                self._seen += len(chunk)
                reader.feed(chunk)
                if reader.outcome.complete:
                    self._settle(reader.outcome)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except asyncio.CancelledError:
            reader.finish(cut=True)
            self._settle(reader.outcome, left=True)
            raise
        except Exception as error:
            self._entry.error = self._entry.error or _broken(error)
            reader.finish(cut=True)
            self._settle(reader.outcome)
            return  # without a last message: the server drops the connection
        reader.finish()
        self._settle(reader.outcome)
        await send({"type": "http.response.body"})

    async def _whole(self, answer: Answer, send: Send) -> None:
        """Pass on an answer without streaming in one piece, because its outcome must be known before it is sent."""
        reader = Reader(self._call.wire, streamed=False)
        body = bytearray()
        cut: str | None = None
        try:
            async for chunk in answer.chunks:
                self._ledger.touch(self._entry)
                self._seen += len(chunk)
                body += chunk
        except Exception as error:
            cut = _broken(error)
        if cut or answer.status != 200:
            self._entry.error = cut or body[:ERROR_EXCERPT].decode("utf-8", "replace")
            self._settle()
        else:
            reader.feed(bytes(body))
            reader.finish()
            kind = answer.headers.get("content-type", "no type")
            if reader.outcome.error and "json" not in kind:
                said = f"{reader.outcome.error} (it is {kind}: is there a model service at this address?)"
                self._entry.error = said
            self._settle(reader.outcome)
        await send({"type": "http.response.body", "body": bytes(body), "more_body": cut is not None})


def _raw(header: str) -> bytes:
    """Return a header's name or value as bytes. HTTP uses Latin-1, and some services use UTF-8."""
    try:
        return header.encode("latin-1")
    except UnicodeEncodeError:
        return header.encode("utf-8", "replace")


async def _let_go(answer: Answer) -> None:
    """Close the answer, even if some of its chunks were not read."""
    try:
        if isinstance(answer.chunks, AsyncGenerator):
            await answer.chunks.aclose()
    finally:
        await answer.close()


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the client may try again (RFC 9110): a number, or a date by the sender's clock."""
    said = headers.get("retry-after", "")
    try:
        seconds = float(said)
    except ValueError:
        at, now = _date(said), _date(headers.get("date", "")) or datetime.now(UTC)
        return max((at - now).total_seconds(), 0.0) if at else None
    return seconds if 0 <= seconds < math.inf else None


def _date(said: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(said)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _broken(error: Exception) -> str:
    """Return what the ledger says about an answer that broke off: by intention, or by a fault of the provider."""
    return str(error) if isinstance(error, StreamCut) else f"the provider failed: {error!r}"
