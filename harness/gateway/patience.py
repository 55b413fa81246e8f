"""Waits for a model that is still loading. One request of all workers looks at it, and the others wait for that one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

import msgspec

from harness.gateway.provider import Answer, Call, Provider
from harness.gateway.purses import CasePurses

LOADING_S: Final = 240.0
"""How many seconds a request waits for a model that is loading: less than `limits.first_byte_s` allows."""

AGAIN_S: Final = 2.0
"""How many seconds lie between two looks."""

_HELD_S: Final = 3 * AGAIN_S
"""How many seconds after a look the others may ask, if no other look follows: its process was killed."""

_LOADING: Final = re.compile(rb"\bloading\b", re.IGNORECASE)
"""What llama.cpp, vLLM, Ollama and Hugging Face's router say with status 503 as long as a model is loading."""

_EXCERPT: Final = 4096
"""How many bytes of an error are searched."""


class Patient:
    """Answers as a provider does, but asks again while its model is loading. `purses` hold back the others."""

    def __init__(self, provider: Provider, purses: CasePurses | None) -> None:
        self._provider = provider
        self._purses = purses

    async def answer(self, call: Call) -> Answer:
        """See `Provider`."""
        answer = await self._provider.answer(call)
        if answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
            return answer
        return await self._waited(call, answer)

    async def count_tokens(self, call: Call) -> int:
        """See `Provider`."""
        return await self._provider.count_tokens(call)

    async def _waited(self, call: Call, answer: Answer) -> Answer:
        looks = int(LOADING_S / AGAIN_S)
        held = False
        try:
            for _ in range(looks):
                if answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
                    return answer
                body = b"".join([chunk async for chunk in answer.chunks])
                await answer.close()
                answer = msgspec.structs.replace(answer, chunks=_once(body))
                if not _LOADING.search(body[:_EXCERPT]):
                    return answer
                held = True
                self._hold(_HELD_S)
                await asyncio.sleep(AGAIN_S)
                answer = await self._provider.answer(call)
            return answer
        finally:
            if held:
                self._hold(0.0)

    def _hold(self, seconds: float) -> None:
        if self._purses is not None:
            self._purses.hold_back("loading", seconds)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
