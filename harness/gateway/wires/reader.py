"""Reads an answer's outcome from its bytes as they pass, streamed or not, in pieces of any size."""

from __future__ import annotations

import json

import msgspec

from harness.gateway.messages import AnswerOutcome
from harness.gateway.wires.base import Wire

_NOTHING = ("", "null")
"""The data of events that some servers send to keep the connection alive."""


class Reader:
    """Reads the body of one answer. `outcome` holds what is known so far. Its methods never raise."""

    def __init__(self, wire: Wire, *, streamed: bool) -> None:
        self.outcome = AnswerOutcome()
        self._wire = wire
        self._streamed = streamed
        self._rest = bytearray()
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. A server-sent event counts when its closing blank line arrives."""
        self._rest += chunk
        if not self._streamed:
            return
        *lines, last = self._rest.split(b"\n")
        self._rest = bytearray(last)
        for line in lines:
            self._line(bytes(line.removesuffix(b"\r")))

    def finish(self, *, cut: bool = False) -> None:
        """Note that the body has ended, or was cut off. A body that was not streamed is read now."""
        if not self._streamed:
            try:
                self._learn(self._wire.read_body(json.loads(self._rest)))
            except (ValueError, RecursionError) as error:
                self._malformed(error)
        elif self.outcome.may_end and not cut:
            self._learn(msgspec.structs.replace(self.outcome, complete=True, may_end=False))
        elif not self.outcome.complete and not self.outcome.error:
            self.outcome = msgspec.structs.replace(self.outcome, error="the stream ended before the answer did")

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line.removeprefix(b"data:").removeprefix(b" "))
        elif not line and self._data:
            data = b"\n".join(self._data).decode("utf-8", "replace")
            self._data.clear()
            if data.strip() in _NOTHING:
                return
            try:
                self._learn(self._wire.read_event(self.outcome, data))
            except (ValueError, RecursionError) as error:
                self._malformed(error)

    def _learn(self, outcome: AnswerOutcome) -> None:
        """Take what is known now. A whole answer needs no notes for the pieces that follow."""
        self.outcome = (
            msgspec.structs.replace(outcome, calls_seen=frozenset(), said="") if outcome.complete else outcome
        )

    def _malformed(self, error: Exception) -> None:
        self.outcome = msgspec.structs.replace(self.outcome, error=f"malformed answer: {error}")
