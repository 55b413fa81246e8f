"""One model request on its way: to the provider, back to the CLI, and into the ledger."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import anyio
import msgspec

from harness.gateway.account import Account
from harness.gateway.admission import Admission
from harness.gateway.decoding import within
from harness.gateway.ledger import LedgerEntry, RequestFailure
from harness.gateway.messages import BYTES_PER_TOKEN, AnswerOutcome, TokenCounts, pseudo_count
from harness.gateway.provider import Answer, AnswerError, Call, Provider, StreamCut, Unreachable
from harness.gateway.purse import Spend
from harness.gateway.strangers import no_answer
from harness.gateway.unasked import usage_hider
from harness.gateway.wires.base import identified
from harness.gateway.wires.reader import Reader
from harness.quota import quota

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ERROR_EXCERPT: Final = 500
"""How many bytes of a provider's error answer the ledger keeps."""

MAX_WHOLE: Final = 16 * 1024 * 1024
"""The most bytes of an answer without streaming. It is held in memory."""

DRAIN_S: Final = 5.0
"""How many seconds the rest of an answer may take after its client left. After that, its worst case is charged."""

LEFT: Final = "the client went away before the answer was complete"

_NOTHING: Final = AnswerOutcome()


class Exchange:
    """A model request on its way. `run` lets the provider answer it, and settles what it holds (`admission`).

    The totals are settled before the CLI can see the end of its answer. So whoever sees the end finds them up to date.
    If the client leaves, the answer is still read to its end, because only its end tells what it used.
    """

    def __init__(self, call: Call, entry: LedgerEntry, account: Account, admission: Admission) -> None:
        self._call = call
        self._entry = entry
        self._account = account
        self._ledger = account.ledger
        self._admission = admission
        self._reader = Reader(call.wire, streamed=True)
        self._unreachable = False
        self._unbilled: Spend | None = None
        self._left = False
        self._seen = 0

    @property
    def is_settled(self) -> bool:
        """Whether it is known what the request has used."""
        return self._admission.settled

    def leave(self) -> None:
        """Note that the client went away. From now on, the session does not wait for this answer."""
        self._left = True
        self._ledger.abandoned(self._entry)

    async def run(self, provider: Provider, send: Send) -> None:
        """Let the provider answer, and pass the answer on.

        Raise `AnswerError` if there is no answer to pass on, before anything is sent. A fault of the provider becomes
        an `AnswerError` 500. If this is cancelled, the reservation is charged.
        """
        try:
            answer = await self._answer(provider)
            try:
                await self._pass_on(answer, send)
            finally:
                with anyio.CancelScope(shield=True):
                    await _let_go(answer)
        except AnswerError as error:
            self._entry.status, self._entry.error = error.status, str(error)
            self._unreachable = isinstance(error, Unreachable)
            if self._unreachable or error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                self._unbilled = Spend(requests=int(not self._unreachable))
            self._settle()
            raise
        finally:
            self._charge()

    async def _answer(self, provider: Provider) -> Answer:
        try:
            return await provider.answer(self._call)
        except AnswerError:
            raise
        except Exception as error:  # a fault in a provider must end in the ledger, not on a terminal
            raise AnswerError(500, f"the provider failed: {error!r}") from error

    def _settle(self, outcome: AnswerOutcome = _NOTHING, *, cut: bool = False, used: bool = False) -> None:
        """Enter the outcome in the ledger, and settle the reservation. Only the first call counts.

        Without an outcome, nothing came back. A whole answer uses a turn. So does one that `used` it: an answer that
        the CLI can use although its end is missing. An answer that broke off (`cut`) is charged by an estimate if it
        has not reported what it used.
        """
        if self._admission.settled:
            return
        entry, is_turn = self._entry, self._entry.kind == "turn"
        whole = outcome.complete and outcome.error is None
        entry.error = entry.error or outcome.error
        if cut and entry.status == 200 and outcome.usage is None:
            entry.charged = self._estimate()
        self._enter(outcome, turn=is_turn and whole and not self._left, used=whole or used)
        if is_turn and not self._left:
            self._ledger.succeeded() if whole else self._failed()

    def _charge(self) -> None:
        """Settle a request whose answer is not known: it is charged the most that it can have used, and its turn.

        Otherwise, a client could have its requests answered for free, if it leaves before their answers. But if the
        session is being stopped because the model failed, its requests use no turn, and only an estimate is charged.
        """
        if self._admission.settled:
            return
        lost, worst = self._account.lost_to_model, self._account.worst_usage(self._call)
        self._entry.charged = self._estimate() if lost else worst
        self._enter(self._reader.outcome, turn=False, used=not lost)

    def _enter(self, outcome: AnswerOutcome, *, turn: bool, used: bool) -> None:
        if self._left:
            self._entry.error = self._entry.error or LEFT
        usage = _most(self._entry.charged, outcome.usage)
        if self._entry.charged:
            self._entry.charged = usage
        self._ledger.answered(self._entry, outcome, turn=turn)
        self._admission.settle(usage, self._ledger.cost_usd(usage), counts=used, billed=self._billed(outcome))

    def _billed(self, outcome: AnswerOutcome) -> Spend | None:
        """Return what the provider bills, or None if that is not known. It bills no request that it answers as failed.

        What an answer reports before its end may be only a part.
        """
        if self._unbilled is not None or outcome.usage is None or outcome.error is not None or not outcome.complete:
            return self._unbilled
        cost_usd = self._ledger.cost_usd(outcome.usage) or 0.0
        return Spend.of(cost_usd, outcome.usage.input_tokens + outcome.usage.output_tokens)

    def _failed(self) -> None:
        entry = self._entry
        if entry.error:
            failure = RequestFailure(entry.status, entry.error, entry.retry_after_s, unreachable=self._unreachable)
            self._ledger.failed(failure)

    def _estimate(self) -> TokenCounts:
        """Return what an answer may have used by now, because services bill all of it."""
        return TokenCounts(input_tokens=pseudo_count(self._call.body), output_tokens=self._seen // BYTES_PER_TOKEN)

    async def _pass_on(self, answer: Answer, send: Send) -> None:
        self._entry.status, self._entry.note = answer.status, answer.note
        self._unbilled = Spend(requests=1) if answer.status >= HTTPStatus.BAD_REQUEST else None
        self._entry.retry_after_s = _retry_after_s(answer.headers)
        self._entry.quota = quota(answer.headers)
        self._admission.told(answer.status, self._entry.retry_after_s)
        if answer.metered:
            self._reader = answer.metered
            answer.metered.on_bytes = lambda: self._ledger.touch(self._entry)
        named = {**identified(self._call.wire), **answer.headers}
        headers = [(_raw(name.lower()), _raw(value)) for name, value in named.items()]
        start = {"type": "http.response.start", "status": answer.status, "headers": headers}
        if answer.is_streamed:
            await send(start)
            await self._stream(answer, send)
        else:
            body, cut = await self._whole(answer)
            await send(start)
            await send({"type": "http.response.body", "body": body, "more_body": cut})

    async def _stream(self, answer: Answer, send: Send) -> None:
        reader, hider = self._reader, usage_hider(self._call.wire, self._call.request)
        try:
            async for chunk in answer.chunks:
                self._ledger.touch(self._entry)
                self._seen += len(chunk)
                reader.feed(chunk)
                if reader.outcome.complete:
                    self._settle(reader.outcome)
                passed = hider.feed(chunk) if hider else chunk
                if passed:
                    with self._ledger.passing_on(self._entry):
                        await send({"type": "http.response.body", "body": passed, "more_body": True})
        except Exception as error:
            self._entry.error = self._entry.error or _broken(error)
            reader.finish(cut=True)
            self._settle(reader.outcome, cut=True)
            return  # without a last message: the server drops the connection
        reader.finish()
        self._settle(reader.outcome, used=reader.is_usable)
        await send({"type": "http.response.body", "body": hider.finish() if hider else b""})

    async def _whole(self, answer: Answer) -> tuple[bytes, bool]:
        """Return an answer without streaming, and whether it is cut. Its outcome must be known before it is sent.

        Raise `AnswerError` 502 if it is no answer, such as a page of a proxy.
        """
        reader = answer.metered or Reader(self._call.wire, streamed=False)
        body = bytearray()
        cut: str | None = None
        try:
            async for chunk in within(answer.chunks, MAX_WHOLE):
                self._ledger.touch(self._entry)
                self._seen += len(chunk)
                body += chunk
        except Exception as error:
            cut = _broken(error)
        if cut or answer.status != 200:
            self._entry.error = cut or body[:ERROR_EXCERPT].decode("utf-8", "replace")
            self._settle(cut=cut is not None)
        else:
            reader.feed(body)
            reader.finish()
            if not reader.is_answer:
                raise AnswerError(HTTPStatus.BAD_GATEWAY, no_answer(answer.headers.get("content-type", ""), body))
            self._settle(reader.outcome, used=reader.is_usable)
        return bytes(body), cut is not None


def _most(charged: TokenCounts | None, reported: TokenCounts | None) -> TokenCounts:
    """Return what to charge: what the answer has reported, or the estimate where that is more.

    The report divides the prompt into kinds of tokens, and the estimate does not.
    """
    if charged is None or reported is None:
        return charged or reported or TokenCounts()
    return msgspec.structs.replace(reported, output_tokens=max(charged.output_tokens, reported.output_tokens))


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
