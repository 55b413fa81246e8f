"""A model service that drops one answer in the middle, and works again afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from harness.gateway.provider import StreamCut
from tests.support.stand_in_upstream import Upstream


class DroppingService(Upstream):
    """See `Upstream`. `drop` orders it to cut its next answers after so many pieces. `dropped` counts the cut ones."""

    dropped = 0
    _orders = 0
    _after = 0

    def drop(self, after: int, answers: int = 1) -> None:
        """Cut the next answers that are longer than `after` pieces of 64 bytes."""
        self._after, self._orders = after, answers

    async def _answer(self, path: str, headers: Mapping[str, str], body: bytes, send: Any) -> None:
        before = self.manner
        if self._orders and path.startswith("/v1/messages") and "count_tokens" not in path:
            self.manner = msgspec.structs.replace(before, sizes=(64,) * 40, cut_after=self._after)
        try:
            await super()._answer(path, headers, body, send)
        except StreamCut:
            self._orders -= 1
            self.dropped += 1
            raise
        finally:
            self.manner = before
