"""Remembers what a provider signs, because some providers want it back and not every wire can carry it.

Anthropic and OpenAI sign thoughts, and Google signs calls. All of it belongs to a call of a tool, whose id every wire
carries. So it is kept by these ids, for as long as the session lasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from harness.gateway.translation.chat import Message

MAX_KEPT: Final = 8 * 1024 * 1024
"""The most characters of thoughts and signatures that a session keeps. Later ones are not kept."""

_SIGNED: Final = "__thought__"
"""What litellm puts between the id of a call and its signature."""


class Signed(Struct, frozen=True):
    """What a provider signed in one answer: its thoughts, as blocks, and its calls, by their ids."""

    thoughts: tuple[Message, ...]
    calls: Mapping[str, str]


class Memory:
    """What a provider has signed in a session."""

    def __init__(self) -> None:
        self._by_call: dict[str, Signed] = {}
        self._size = 0

    def keep(self, signed: Signed, calls: Sequence[str]) -> None:
        """Keep what belongs to an answer with these calls."""
        size = len(str(signed.thoughts)) + len(str(signed.calls))
        if calls and (signed.thoughts or signed.calls) and self._size + size <= MAX_KEPT:
            self._size += size
            self._by_call.update(dict.fromkeys(calls, signed))

    def recall(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages with what was signed of them, as litellm expects it."""
        return [self._signed(one) if one.get("tool_calls") else one for one in messages]

    def _signed(self, message: Message) -> Message:
        calls = message["tool_calls"]
        known = next((self._by_call[call["id"]] for call in calls if call["id"] in self._by_call), None)
        if known is None:
            return message
        if known.thoughts and not any(block.get("signature") for block in message.get("thinking_blocks") or ()):
            message = {**message, "thinking_blocks": list(known.thoughts)}
        fields = ({"thought_signature": known.calls.get(call["id"])} for call in calls)
        return {
            **message,
            "tool_calls": [
                {**call, "provider_specific_fields": field} if field["thought_signature"] else call
                for call, field in zip(calls, fields, strict=True)
            ],
        }


class Signatures:
    """Collects what an answer signs, while its chunks come."""

    def __init__(self) -> None:
        self._thoughts: list[Message] = []
        self._open = ""
        self._calls: dict[str, str] = {}
        self.ids: list[str] = []

    def take(self, delta: Any) -> None:
        """Take what one chunk adds, and leave nothing of a call's signature in it."""
        for block in getattr(delta, "thinking_blocks", None) or ():
            self._think(block)
        for call in delta.tool_calls or ():
            if call.id:
                call.id, _, signature = call.id.partition(_SIGNED)
                self.ids.append(call.id)
                if signature:
                    self._calls[call.id] = signature
            call.provider_specific_fields = None
        delta.provider_specific_fields = None

    def _think(self, block: Mapping[str, Any]) -> None:
        if block.get("type") == "redacted_thinking":
            self._thoughts.append({"type": "redacted_thinking", "data": block.get("data", "")})
            return
        self._open += block.get("thinking") or ""
        if signature := block.get("signature"):
            self._thoughts.append({"type": "thinking", "thinking": self._open, "signature": signature})
            self._open = ""

    @property
    def found(self) -> Signed:
        """What has been signed so far."""
        return Signed(tuple(self._thoughts), self._calls)
