"""Keeps from a client what only the gateway asked for: the usage at the end of a Chat stream."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from harness.gateway.messages import ModelRequest
from harness.gateway.wires import openai_chat
from harness.gateway.wires.base import Wire
from harness.gateway.wires.reader import MAX_EVENT

_BETWEEN: Final = re.compile(rb"(\r?\n\r?\n)")


class UsageHider:
    """Passes on the events of a Chat stream, without the chunk that has the usage and no choice.

    Clients that did not ask for this chunk read the first choice of every chunk.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes, and return those that may be passed on: whole events."""
        self._rest += chunk
        *whole, self._rest = _BETWEEN.split(self._rest)
        if len(self._rest) > MAX_EVENT:
            return b"".join(whole) + self.finish()
        events = zip(whole[::2], whole[1::2], strict=True)
        return b"".join(event + end for event, end in events if not _has_only_usage(event))

    def finish(self) -> bytes:
        """Return the bytes after the last whole event."""
        rest, self._rest = self._rest, b""
        return rest


def usage_hider(wire: Wire, request: ModelRequest) -> UsageHider | None:
    """Return what hides the usage from the client of a request, or None if the client may see it."""
    return UsageHider() if wire.NAME == openai_chat.NAME and request.stream and not request.stream_usage else None


def _has_only_usage(event: bytes) -> bool:
    if b'"usage"' not in event:
        return False
    data = b"".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
    try:
        chunk: Any = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(chunk, dict) and chunk.get("choices") == [] and bool(chunk.get("usage"))
