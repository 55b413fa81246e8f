"""The books of one session: every request a line of `gateway.jsonl`, and running totals."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.gateway.messages import Outcome, Usage


class Metered(Struct, frozen=True, kw_only=True):
    """Totals of a session so far, by the gateway's books.

    `requests` are all requests to a model, failed and refused ones too; `side_requests` those of them that offered
    no tools; `turns` and `tool_calls` count answers that came back whole. Tokens include those of side requests and,
    as far as known, of answers that broke off. `cost_usd` is null where no price is known.
    """

    turns: int = 0
    requests: int = 0
    side_requests: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = None


class Entry(Struct, kw_only=True):
    """One request's line in the books.

    `kind`: `turn`, `side` (a model request without tools), `count` (of tokens) or `other`. `status` is null when
    nothing was answered. `duration_s` runs from the request's arrival to the last byte of its answer.
    """

    time: str
    method: str
    path: str
    wire: str | None = None
    kind: str = "other"
    model: str | None = None
    stream: bool = False
    turn: int | None = None
    request_bytes: int = 0
    request_sha256: str | None = None
    status: int | None = None
    usage: Usage | None = None
    tools_called: tuple[str, ...] = ()
    stop_reason: str | None = None
    refused: str | None = None
    error: str | None = None
    duration_s: float = 0.0


class Meter:
    """Keeps the books. Written on the gateway's event loop; the attributes may be read from any thread.

    `totals` is replaced whole, never changed. `last_activity` is the time (`time.monotonic`) of the last byte that
    came or went. `open_requests` is the number of requests being answered.
    """

    def __init__(self, path: Path) -> None:
        self.totals = Metered()
        self.last_activity = time.monotonic()
        self.open_requests = 0
        self._busy_s = 0.0
        self._busy_since = 0.0
        self._file = path.open("ab")

    @property
    def busy_s(self) -> float:
        """Seconds during which at least one request was open."""
        since = self._busy_since
        return self._busy_s + (time.monotonic() - since if self.open_requests else 0.0)

    @contextmanager
    def entry(self, method: str, path: str) -> Iterator[Entry]:
        """Open an entry; its line is written when the block ends, however it ends."""
        start = time.monotonic()
        if not self.open_requests:
            self._busy_since = start
        self.open_requests += 1
        self.last_activity = start
        entry = Entry(time=datetime.now(UTC).isoformat(timespec="milliseconds"), method=method, path=path)
        try:
            yield entry
        finally:
            now = self.last_activity = time.monotonic()
            if self.open_requests == 1:
                self._busy_s += now - self._busy_since
            self.open_requests -= 1
            entry.duration_s = round(now - start, 6)
            self._file.write(msgspec.json.encode(entry) + b"\n")
            self._file.flush()

    def touch(self) -> None:
        """Something moved."""
        self.last_activity = time.monotonic()

    def received(self, entry: Entry, body: bytes) -> None:
        """A request's body is there."""
        self.touch()
        entry.request_bytes = len(body)
        entry.request_sha256 = hashlib.sha256(body).hexdigest()

    def asked(self, *, side: bool) -> None:
        """A request to a model has come."""
        totals = self.totals
        self.totals = msgspec.structs.replace(
            totals, requests=totals.requests + 1, side_requests=totals.side_requests + side
        )

    def answered(self, entry: Entry, outcome: Outcome, *, turn: bool) -> None:
        """An answer has ended; `turn` says whether it makes one."""
        entry.usage = outcome.usage
        entry.tools_called = outcome.tools_called
        entry.stop_reason = outcome.stop_reason
        totals, usage = self.totals, outcome.usage or Usage()
        self.totals = msgspec.structs.replace(
            totals,
            turns=totals.turns + turn,
            tool_calls=totals.tool_calls + (len(outcome.tools_called) if turn else 0),
            input_tokens=totals.input_tokens + usage.input_tokens,
            output_tokens=totals.output_tokens + usage.output_tokens,
            cache_read_tokens=totals.cache_read_tokens + usage.cache_read_tokens,
            cache_write_tokens=totals.cache_write_tokens + usage.cache_write_tokens,
        )

    def close(self) -> None:
        """Close the file. May be called again."""
        self._file.close()
