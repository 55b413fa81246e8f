"""The ledger of one session: a line of `gateway.jsonl` for every request, and running totals."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from harness.gateway.leaks import leaks
from harness.gateway.messages import AnswerOutcome, TokenCounts
from harness.gateway.prices import Pricing
from harness.quota import QuotaWindow
from harness.visible import visible_struct

MAX_TEXT: Final = 500
"""How many characters of a path, a model's name or an error a line has."""

MAX_NAME: Final = 200
"""How many characters of a tool's name are kept."""

MAX_BYTES: Final = 4 * 1024 * 1024
"""The most bytes of lines about requests that did not reach the model. Further ones are only counted."""


class Metered(Struct, frozen=True, kw_only=True):
    """The totals of a session so far, from the gateway's ledger.

    `requests` counts all requests to a model, including those that failed or were refused. `side_requests` counts those
    that offered no tools. `turns` and `tool_calls` count whole answers, and `broken_turns` counts answers that broke
    off. Tokens include those of side requests (`side`) and those that broken answers reported (`broken`). `tools_used`
    are the names of the tools called. `cost_usd` is None if no price is known. `leaked_calls` counts the answers that
    hold a tool call as text. `quota` is what the service said last about a subscription's quota.
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
    broken_turns: int = 0
    side: TokenCounts = TokenCounts()
    broken: TokenCounts = TokenCounts()
    tools_used: frozenset[str] = frozenset()
    leaked_calls: int = 0
    quota: list[QuotaWindow] | None = None


class RequestFailure(Struct, frozen=True):
    """A model request that failed: its HTTP status (None without an answer), the message, and the seconds to wait.

    `unreachable` means that no connection to the service can be made.
    """

    status: int | None
    message: str
    retry_after_s: float | None = None
    unreachable: bool = False


class Waiting(Struct, frozen=True):
    """A model request that is being answered: the time of its last byte, and whether any byte has come yet.

    While a byte is on its way to the client, `since` is infinite.
    """

    since: float
    begun: bool = False


class LedgerEntry(Struct, kw_only=True):
    """One request's line in the ledger.

    `kind` is `turn`, `side` (a model request without tools), `count` (of tokens) or `other`. `max_output` is the most
    output tokens that the request allows, or null if it does not say. `status` is null if there was no answer. `usage`
    is what the answer reported. `charged` is what the budget was charged instead, because the answer did not end: the
    most that the request can have used, or an estimate. `leaked_call` means that the answer holds a tool call as text.
    `quota` is what the service says about the quota of a subscription. `refused` names the limit that was used up.
    `note` says what was changed in the request. `duration_s` runs from the request's arrival to the last byte of its
    answer.
    """

    time: str
    method: str
    path: str
    wire: str | None = None
    kind: str = "other"
    model: str | None = None
    stream: bool = False
    turn: int | None = None
    max_output: int | None = None
    request_bytes: int = 0
    request_sha256: str | None = None
    status: int | None = None
    usage: TokenCounts | None = None
    charged: TokenCounts | None = None
    tools_called: tuple[str, ...] = ()
    stop_reason: str | None = None
    leaked_call: bool = False
    cost_usd: float | None = None
    retry_after_s: float | None = None
    quota: list[QuotaWindow] | None = None
    refused: str | None = None
    note: str | None = None
    error: str | None = None
    duration_s: float = 0.0


class Ledger:
    """Keeps the ledger. It is written on the gateway's event loop. Any thread may read the attributes.

    `totals` is replaced whole, never changed. `last_activity` is the time (`time.monotonic`) of the last byte that was
    sent or received. `open_requests` is the number of requests that have not ended. `failures` counts the latest turns
    that failed in a row. `last_failure` is the latest of them. `side_failure` is the latest failure of a side request.
    """

    def __init__(self, path: Path, price: Pricing | None = None) -> None:
        self.totals = Metered(cost_usd=None if price is None else 0.0)
        self.failures = 0
        self.last_failure: RequestFailure | None = None
        self.side_failure: RequestFailure | None = None
        self._price = price
        self._waiting: dict[int, Waiting] = {}
        self.last_activity = time.monotonic()
        self.open_requests = 0
        self._busy_s = 0.0
        self._busy_since = 0.0
        self._sent: set[int] = set()
        self._written = 0
        self._left_out = 0
        self._file = path.open("ab")

    @property
    def busy_s(self) -> float:
        """Seconds during which at least one request was open."""
        since = self._busy_since
        return self._busy_s + (time.monotonic() - since if self.open_requests else 0.0)

    @property
    def waiting(self) -> list[Waiting]:
        """The model requests that are being answered."""
        return list(self._waiting.values())

    @contextmanager
    def entry(self, method: str, path: str) -> Iterator[LedgerEntry]:
        """Open an entry. Its line is written when the block ends, even by an exception."""
        start = time.monotonic()
        if not self.open_requests:
            self._busy_since = start
        self.open_requests += 1
        self.last_activity = start
        entry = LedgerEntry(time=_now(), method=method, path=path)
        try:
            yield entry
        finally:
            now = self.last_activity = time.monotonic()
            if self.open_requests == 1:
                self._busy_s += now - self._busy_since
            self.open_requests -= 1
            self._waiting.pop(id(entry), None)
            entry.duration_s = round(now - start, 6)
            self._write(entry)

    def _write(self, entry: LedgerEntry) -> None:
        """Write a line. Leave it out if the request did not reach the model, and such lines fill `MAX_BYTES`."""
        sent = id(entry) in self._sent
        self._sent.discard(id(entry))
        line = msgspec.json.encode(visible_struct(_shortened(entry))) + b"\n"
        if not sent and self._written + len(line) > MAX_BYTES:
            self._left_out += 1
            return
        self._written += 0 if sent else len(line)
        self._file.write(line)
        self._file.flush()

    def touch(self, entry: LedgerEntry) -> None:
        """Note that a byte came. It is a piece of the answer if the entry is a model request that waits for one."""
        self.last_activity = time.monotonic()
        if id(entry) in self._waiting:
            self._waiting[id(entry)] = Waiting(self.last_activity, begun=True)

    def received(self, entry: LedgerEntry, body: bytes) -> None:
        """Note that a request's body has come."""
        self.touch(entry)
        entry.request_bytes = len(body)
        entry.request_sha256 = hashlib.sha256(body).hexdigest()

    def asked(self, entry: LedgerEntry) -> None:
        """Note that a request to a model has come."""
        totals = self.totals
        self.totals = msgspec.structs.replace(
            totals, requests=totals.requests + 1, side_requests=totals.side_requests + (entry.kind == "side")
        )

    def started(self, entry: LedgerEntry) -> None:
        """Note that a request goes to the model. From now on, it waits for its answer."""
        self._sent.add(id(entry))
        self._waiting[id(entry)] = Waiting(time.monotonic())

    def abandoned(self, entry: LedgerEntry) -> None:
        """Note that the client of a request went away. Nobody waits for its answer any more."""
        self._waiting.pop(id(entry), None)

    @contextmanager
    def passing_on(self, entry: LedgerEntry) -> Iterator[None]:
        """Pass a piece of the answer on in this block. Meanwhile, the model does not keep the session waiting.

        A client that does not read could otherwise make its model look stalled.
        """
        if id(entry) in self._waiting:
            self._waiting[id(entry)] = Waiting(math.inf, begun=True)
        yield
        self.touch(entry)

    def cost_usd(self, usage: TokenCounts) -> float | None:
        """Return the cost of these tokens in US dollars, or None if no price is known."""
        return None if self._price is None else self._price.cost_usd(**msgspec.structs.asdict(usage))

    def answered(self, entry: LedgerEntry, outcome: AnswerOutcome, *, turn: bool) -> None:
        """Note that an answer has ended. `turn` says whether it counts as a turn."""
        usage = outcome.usage or TokenCounts()
        entry.usage = outcome.usage
        entry.tools_called = tuple(name[:MAX_NAME] for name in outcome.tools_called)
        entry.stop_reason = outcome.stop_reason
        entry.cost_usd = self.cost_usd(usage) if outcome.usage else None
        entry.leaked_call = leaks(outcome)
        if entry.kind == "side" and entry.error and (entry.status or 0) >= 400:
            self.side_failure = RequestFailure(entry.status, entry.error, entry.retry_after_s)
        self._add(entry, usage, turn=turn)

    def _add(self, entry: LedgerEntry, usage: TokenCounts, *, turn: bool) -> None:
        totals = self.totals
        broken = entry.kind == "turn" and not turn
        self.totals = msgspec.structs.replace(
            totals,
            turns=totals.turns + turn,
            tool_calls=totals.tool_calls + (len(entry.tools_called) if turn else 0),
            input_tokens=totals.input_tokens + usage.input_tokens,
            output_tokens=totals.output_tokens + usage.output_tokens,
            cache_read_tokens=totals.cache_read_tokens + usage.cache_read_tokens,
            cache_write_tokens=totals.cache_write_tokens + usage.cache_write_tokens,
            cost_usd=None if totals.cost_usd is None else totals.cost_usd + (entry.cost_usd or 0.0),
            broken_turns=totals.broken_turns + (broken and entry.status == 200),
            side=totals.side + usage if entry.kind == "side" else totals.side,
            broken=totals.broken + usage if broken else totals.broken,
            tools_used=totals.tools_used | set(entry.tools_called),
            leaked_calls=totals.leaked_calls + entry.leaked_call,
            quota=entry.quota or totals.quota,
        )

    def failed(self, failure: RequestFailure) -> None:
        """Note that the request of a turn has failed."""
        self.failures += 1
        self.last_failure = failure

    def succeeded(self) -> None:
        """Note that a turn came back whole."""
        self.failures = 0

    def close(self) -> None:
        """Close the file. If lines were left out, the last line says how many. May be called again."""
        if self._left_out and not self._file.closed:
            said = f"{self._left_out} more requests did not reach the model, and have no lines here"
            entry = LedgerEntry(time=_now(), method="", path="", note=said)
            self._file.write(msgspec.json.encode(entry) + b"\n")
        self._file.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _shortened(entry: LedgerEntry) -> LedgerEntry:
    """Return the entry without the ends of long texts, because a client may send any length of them."""
    texts = {name: getattr(entry, name) for name in ("path", "model", "stop_reason", "note", "error")}
    short = {name: f"{text[:MAX_TEXT]}..." for name, text in texts.items() if text and len(text) > MAX_TEXT}
    return msgspec.structs.replace(entry, **short)
