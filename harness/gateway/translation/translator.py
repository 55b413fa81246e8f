"""A provider that translates: requests to a wire that another provider speaks, and its answers back."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec
from msgspec import Struct

from harness.gateway.allowlist import AllowList, NotAllowed
from harness.gateway.decoding import within
from harness.gateway.messages import TokenCounts, WireError, pseudo_count
from harness.gateway.provider import Answer, AnswerError, Call, Provider, StreamCut, Wrapper
from harness.gateway.translation.chat import Chat
from harness.gateway.translation.from_chat import from_chat
from harness.gateway.translation.hearing import Hearer
from harness.gateway.translation.library import stream_chunk_builder
from harness.gateway.translation.losses import losses
from harness.gateway.translation.memory import Memory
from harness.gateway.translation.speaking import speaker
from harness.gateway.translation.to_chat import to_chat
from harness.gateway.upstream_reader import UpstreamReader
from harness.gateway.wires.base import Wire, dumps, identified

MAX_REFUSAL: Final = 1024 * 1024
"""The most bytes of a provider's error answer that are read."""

REST_S: Final = 0.5
"""How many seconds to wait for the end of a body whose answer is complete."""

_STREAM: Final = {"content-type": "text/event-stream; charset=utf-8"}
_BODY: Final = {"content-type": "application/json"}


class Translator(Wrapper):
    """Asks `provider` over the wire `upstream`, whatever wire a request comes over.

    `allowed` is what a request over the upstream wire may carry. `lost` is called with the names of what a request
    loses on its way (`harness.gateway.translation.losses`).
    """

    def __init__(
        self, provider: Provider, upstream: Wire, allowed: AllowList, lost: Callable[[set[str]], None]
    ) -> None:
        super().__init__(provider)
        self._upstream = upstream
        self._allowed = allowed
        self._lost = lost
        self._memory = Memory()

    async def count_tokens(self, call: Call) -> int:
        """Return a pseudo-count, because services count only requests of their own wire."""
        return pseudo_count(call.body)

    async def answer(self, call: Call) -> Answer:
        """See `Provider.answer`. Raise `AnswerError` 400 for a request that cannot be translated."""
        asked = await anyio.to_thread.run_sync(partial(self._translated, call))
        answer = await self._provider.answer(asked.call)
        if answer.status != HTTPStatus.OK:
            return await _refusal(call.wire, answer)
        if not answer.is_streamed:  # not a model service, or one that cannot stream: the CLI says so in its own way
            return answer
        translation = _Translation(call, asked, answer, self._upstream, self._memory)
        note = f"translated to {self._upstream.NAME}"
        streamed = call.request.stream
        return Answer(
            status=answer.status,
            headers=_headers(answer, _STREAM if streamed else _BODY),
            chunks=translation.events() if streamed else _one(await translation.body()),
            close=answer.close,
            note=note,
            metered=translation.metered,
        )

    def _translated(self, call: Call) -> _Asked:
        upstream = self._upstream
        try:
            body = json.loads(call.body)
            chat = to_chat(call.wire.NAME, body, call.request.model, upstream.NAME)
            recalled = msgspec.structs.replace(chat, messages=self._memory.recall(chat.messages))
            sent = from_chat(recalled, call.request.model, upstream.NAME)
            raw = dumps(sent.body).encode()
            parsed = upstream.parse(raw, sent.path)
            place, _, query = sent.path.partition("?")
            self._allowed.check(place, query, parsed.model, raw)
        except Exception as error:
            why = str(error) if isinstance(error, (WireError, NotAllowed)) else repr(error)
            said = f"this request cannot be translated from {call.wire.NAME} to {upstream.NAME}: {why}"
            raise AnswerError(400, said) from error
        if parsed.hosted:
            raise AnswerError(400, f"translated to {upstream.NAME}, the request would use {', '.join(parsed.hosted)}")
        self._lost(losses(body, recalled, sent.body, upstream.NAME))
        request = msgspec.structs.replace(parsed, toolless=call.request.toolless)
        made = msgspec.structs.replace(
            call, request=request, wire=upstream, path=sent.path, headers=sent.headers, body=raw
        )
        return _Asked(made, chat)


class _Asked(Struct, frozen=True):
    """A translated request, and the form between the two."""

    call: Call
    chat: Chat


class _Translation:
    """One answer on its way back. `metered` reads what the provider sends."""

    def __init__(self, call: Call, asked: _Asked, answer: Answer, upstream: Wire, memory: Memory) -> None:
        self.metered = UpstreamReader(upstream)
        self._wire = call.wire
        self._answer = answer
        self._hearer = Hearer(upstream.NAME, call.request.model)
        self._speaker = speaker(call.wire.NAME, asked.chat, call.request)
        self._memory = memory
        self._broken = False
        self._cut: Exception | None = None

    async def events(self) -> AsyncGenerator[bytes]:
        """Yield the answer as events of the CLI's wire. Raise `StreamCut` where the provider's answer breaks off."""
        async for event in self._speaker.events(self._chunks()):
            if self._broken:
                break
            yield event
        if self._cut is not None:
            raise self._cut
        if self.metered.outcome.error:
            yield _fault(self._wire, self.metered.outcome.error)
        with anyio.move_on_after(REST_S), suppress(Exception):  # then the connection can be used again
            async for rest in self._answer.chunks:
                self.metered.read(rest)

    async def body(self) -> bytes:
        """Return the whole answer as one body of the CLI's wire. Raise `AnswerError` 500 if it breaks off."""
        chunks = [chunk async for chunk in self._chunks()]
        if self._broken:
            raise AnswerError(500, str(self._cut or self.metered.outcome.error or "the answer has no proper end"))
        return dumps(self._speaker.body(stream_chunk_builder(chunks))).encode()

    async def _chunks(self) -> AsyncGenerator[Any]:
        """Yield the chunks of the answer. If it breaks off, they end without a reason, and `_broken` is true."""
        try:
            async for data in self._answer.chunks:
                self.metered.read(data)
                for event in self.metered.take():
                    if chunk := self._hear(event):
                        yield chunk
                if self.metered.outcome.complete or self.metered.outcome.error:
                    break
        except Exception as error:  # the CLI's own connection breaks off, too
            self._broken, self._cut = True, error
            return
        self.metered.finish()
        outcome = self.metered.outcome
        if not outcome.complete or outcome.error:
            self._broken = True
            return
        self._memory.keep(self._hearer.signatures.found, self._hearer.signatures.ids)
        for chunk in self._hearer.ends(outcome.usage or TokenCounts()):
            yield chunk

    def _hear(self, event: str) -> Any:
        try:
            return self._hearer.hear(event)
        except Exception as error:
            if self.metered.outcome.error:  # it is the provider's own error
                return None
            raise StreamCut(f"an event of the model service cannot be translated: {error!r}") from error


async def _one(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _headers(answer: Answer, kind: Mapping[str, str]) -> dict[str, str]:
    return {**answer.headers, **kind}


async def _refusal(wire: Wire, answer: Answer) -> Answer:
    """Return an error answer in the form of the CLI's wire, with its status and headers."""
    body = bytearray()
    try:
        async for chunk in within(answer.chunks, MAX_REFUSAL):
            body += chunk
    finally:
        await answer.close()
    error = wire.error(answer.status, _message(bytes(body)))
    headers = _headers(answer, {**_BODY, **identified(wire, error)})
    return Answer(status=answer.status, headers=headers, chunks=_one(dumps(error).encode()), note=answer.note)


def _message(body: bytes) -> str:
    """Return the message in an error answer. All wires have it in the same place."""
    try:
        data = json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
    data = data[0] if isinstance(data, list) and data else data
    error = data.get("error") if isinstance(data, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else body.decode("utf-8", "replace")


def _fault(wire: Wire, message: str) -> bytes:
    """Return the event by which a service of this wire says that its answer has failed."""
    match wire.NAME:
        case "openai_responses":
            failed = {"object": "response", "status": "failed", "error": {"code": "server_error", "message": message}}
            return _event("response.failed", {"type": "response.failed", "response": failed})
        case "anthropic_messages":
            return _event("error", wire.error(500, message))
    return f"data: {dumps(wire.error(500, message))}\n\n".encode()


def _event(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {dumps(data)}\n\n".encode()
