"""Reads an answer's outcome from its bytes as they pass, streamed or not, in pieces of any size."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

import msgspec

from harness.gateway.messages import AnswerOutcome
from harness.gateway.wires.base import Wire
from harness.json_scan import scan

_NOTHING = ("", "null")
"""The data of events that some servers send to keep the connection alive."""


_PARTS: Final = frozenset(("choices", "content", "output", "candidates", "promptFeedback"))
"""Fields of an answer's body, on all wires. Each answer has one of them."""

MAX_EVENT: Final = 16 * 1024 * 1024
"""The most bytes of a server-sent event that are held in memory. The gateway does not read the rest of a longer one."""

MAX_CALLS: Final = 1000
"""The most tools that an answer may call."""

_LARGE: Final = 64 * 1024
"""An event of more bytes is scanned before it is read."""


class Reader:
    """Reads the body of one answer. `outcome` holds what is known so far. Its methods never raise.

    `is_usable` says whether the service gave a piece of an answer, and no error of its own. A client may take such an
    answer for a whole one, even if it is malformed or has no proper end. `is_answer` says whether a whole body can be
    an answer at all: it is a JSON object with more than an error. `heard` is called with the data of each
    server-sent event that could be read.
    """

    def __init__(self, wire: Wire, *, streamed: bool, heard: Callable[[str], None] | None = None) -> None:
        self.outcome = AnswerOutcome()
        self.is_usable = False
        self.is_answer = True
        self._wire = wire
        self._streamed = streamed
        self._heard = heard
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._gave_up = False
        self._refused = False

    def feed(self, chunk: bytes | bytearray) -> None:
        """Take the next bytes. A server-sent event counts when its closing blank line arrives."""
        if self._gave_up:
            return
        self._rest += chunk
        if not self._streamed:
            return
        if b"\n" in chunk:
            *lines, last = self._rest.split(b"\n")
            self._rest = bytearray(last)
            for line in lines:
                self._line(bytes(line.removesuffix(b"\r")))
        if len(self._rest) + self._size > MAX_EVENT:
            self._give_up(f"an event is longer than {MAX_EVENT} bytes")

    def finish(self, *, cut: bool = False) -> None:
        """Note that the body has ended, or was cut off. A body that was not streamed is read now."""
        if not self._streamed:
            self._read_body()
        elif self.outcome.may_end and not cut:
            self._learn(msgspec.structs.replace(self.outcome, complete=True, may_end=False))
        elif not self.outcome.complete and not self.outcome.error:
            self.outcome = msgspec.structs.replace(self.outcome, error="the stream ended before the answer did")

    def _read_body(self) -> None:
        try:
            scan(self._rest)
            self.is_answer = False
            body = json.loads(self._rest)
            self.is_answer = isinstance(body, dict) and not (body.get("error") and _PARTS.isdisjoint(body))
            self.is_usable = isinstance(body, dict) and not body.get("error")
            self._learn(self._wire.read_body(body))
        except (ValueError, RecursionError) as error:
            self._malformed(error)

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line.removeprefix(b"data:").removeprefix(b" "))
            self._size += len(line)
        elif not line and self._data:
            data = b"\n".join(self._data)
            self._data.clear()
            self._size = 0
            self._read_event(data)

    def _read_event(self, data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        if text.strip() in _NOTHING:
            return
        try:
            if len(data) > _LARGE:
                scan(data)
            outcome = self._wire.read_event(self.outcome, text)
            if len(outcome.tools_called) > MAX_CALLS:
                raise ValueError(f"it calls more than {MAX_CALLS} tools")
        except (ValueError, RecursionError) as error:
            self._malformed(error)
        else:
            self._learn(outcome)
            if self._heard:
                self._heard(text)

    def _learn(self, outcome: AnswerOutcome) -> None:
        """Take what is known now. A whole answer needs no notes for the pieces that follow."""
        self._refused = self._refused or (outcome.error is not None and outcome.error != self.outcome.error)
        self.is_usable = not self._refused
        self.outcome = (
            msgspec.structs.replace(outcome, calls_seen=frozenset(), said="") if outcome.complete else outcome
        )

    def _give_up(self, why: str) -> None:
        self._gave_up = True
        self._rest.clear()
        self._data.clear()
        self._malformed(ValueError(why))

    def _malformed(self, error: Exception) -> None:
        self.outcome = msgspec.structs.replace(self.outcome, error=f"malformed answer: {error}")
