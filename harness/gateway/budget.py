"""What a case may use of its model. All attempts at the case share one budget, and each request reserves its part."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from operator import add
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from harness.case import Limits
from harness.gateway.messages import TokenCounts

COUNT_LIMIT: Final = "count_limit"
"""The name of the limit on counting tokens in refusals. No session ends by it."""


def side_limit(turns: int) -> int:
    """Return how many side requests are allowed with this many turns.

    Side requests do not use a turn. Without a limit, a program in the sandbox could use the model for free. CLIs ask
    for a title or a summary, a few times a turn at most.
    """
    return 4 * turns + 20


def count_limit(turns: int) -> int:
    """Return how many times tokens may be counted with this many turns. Counting is free, but it asks the service."""
    return 4 * turns + 40


class Amounts(Struct, frozen=True, kw_only=True):
    """What one or more requests use, or may use. `tokens` counts input and output, without cached input.

    `counts` is how many times the service has counted the tokens of a prompt.
    """

    turns: int = 0
    side_requests: int = 0
    counts: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    @classmethod
    def of(cls, usage: TokenCounts, cost_usd: float | None, *, turns: int = 0, side_requests: int = 0) -> Self:
        """Return the amounts of a request that uses these tokens. `cost_usd` is None if no price is known."""
        return cls(
            turns=turns,
            side_requests=side_requests,
            tokens=usage.input_tokens + usage.output_tokens,
            cost_usd=cost_usd or 0.0,
        )

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            turns=self.turns + other.turns,
            side_requests=self.side_requests + other.side_requests,
            counts=self.counts + other.counts,
            tokens=self.tokens + other.tokens,
            cost_usd=self.cost_usd + other.cost_usd,
        )


class RequestRefused(Exception):
    """A request is refused. `limit` is the name of the session's ending, and the message explains it."""

    def __init__(self, limit: str, explanation: str) -> None:
        super().__init__(explanation)
        self.limit = limit


class Budget:
    """The limits of one case on its model requests, and what the case has used of them. None means no limit.

    Reserve the worst case of a request before it goes to the model, and settle the reservation when its answer has
    ended. A request is refused once a limit is used up. It waits while the worst cases of the open requests leave too
    little room for its own. If no other request is open, it is always admitted, because its worst case is only an
    estimate. So one answer can exceed a limit, and the next request is refused.

    `used` holds what the settled requests have used. `passed` is the limit that was reached, by the name of its ending.
    It is set by the first request after a limit is used up, and by an answer that exceeds the tokens. An answer that
    exceeds the dollars does not set it: it is paid for, so the session may use it.

    Reserve and settle on one event loop. Any thread may read.
    """

    def __init__(self, turns: int | None = None, *, tokens: int | None = None, cost_usd: float | None = None) -> None:
        if turns is not None and turns < 0:
            raise ValueError(f"a budget cannot have {turns} turns: it needs 0 or more")
        self.used = Amounts()
        self.passed: str | None = None
        self._turns = turns
        self._side_requests = None if turns is None else side_limit(turns)
        self._counts = None if turns is None else count_limit(turns)
        self._tokens = tokens
        self._cost_usd = cost_usd
        self._open: set[Reservation] = set()
        self._queue: list[object] = []
        self._moved = asyncio.Event()

    @classmethod
    def within(cls, limits: Limits) -> Self:
        """Return a budget with these limits."""
        return cls(limits.turns, tokens=limits.tokens, cost_usd=limits.cost_usd)

    async def reserve(self, worst: Amounts) -> Reservation:
        """Reserve the worst case of a request: one turn or one side request, and the tokens and dollars it may use.

        Wait while the open requests leave too little room, first come first served. Raise `RequestRefused` as soon as a
        limit is used up.
        """
        with self._place() as place:
            while True:
                self._refuse_beyond_a_limit(worst)
                if self._queue[0] is place and self._has_room(worst):
                    reservation = Reservation(self, worst)
                    self._open.add(reservation)
                    return reservation
                await self._moved.wait()

    def count(self) -> None:
        """Take one count of a prompt's tokens. It is never given back.

        Raise `RequestRefused` if a limit was reached, or if the case has counted as often as it may. The latter does
        not end the session, because it can go on without counts.
        """
        if self.passed is not None:
            raise RequestRefused(self.passed, self.explain(self.passed))
        if self._counts is not None and self.used.counts >= self._counts:
            raise RequestRefused(COUNT_LIMIT, self.explain(COUNT_LIMIT))
        self.used += Amounts(counts=1)

    def explain(self, limit: str) -> str:
        """Return a sentence about a limit that the case has reached: how much it has used, and how much is allowed."""
        match limit:
            case _ if limit == COUNT_LIMIT:
                return (
                    f"this case has counted tokens {self._counts} times, as often as limits.turns={self._turns} allows"
                )
            case "turn_limit" if self._turns is not None and self.used.turns < self._turns:
                sides = f"all {self._side_requests} requests without tools"
                return f"this case has used {sides} that limits.turns={self._turns} allows"
            case "turn_limit":
                return f"this case has used all of its turns (limits.turns={self._turns})"
            case "token_limit":
                return f"this case has used {self.used.tokens} of {self._tokens} tokens"
            case _:
                return f"this case has used {self.used.cost_usd:.4f} of {self._cost_usd} US dollars"

    @contextmanager
    def _place(self) -> Iterator[object]:
        """Hold a place in the queue. When it is released, the others check whether they can go on."""
        place = object()
        self._queue.append(place)
        try:
            yield place
        finally:
            self._queue.remove(place)
            self._look_again()

    def _look_again(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    def _refuse_beyond_a_limit(self, worst: Amounts) -> None:
        checks = (
            ("turn_limit", self.used.turns, self._turns if worst.turns else None),
            ("turn_limit", self.used.side_requests, self._side_requests if worst.side_requests else None),
            ("token_limit", self.used.tokens, self._tokens),
            ("cost_limit", self.used.cost_usd, self._cost_usd),
        )
        for name, used, limit in checks:
            if limit is not None and used >= limit:
                self.passed = name
                raise RequestRefused(name, self.explain(name))

    def _has_room(self, worst: Amounts) -> bool:
        if not self._open:
            return True
        total = reduce(add, (reservation.worst for reservation in self._open), self.used + worst)
        checks = (
            (total.turns, self._turns),
            (total.side_requests, self._side_requests),
            (total.tokens, self._tokens),
            (total.cost_usd, self._cost_usd),
        )
        return all(limit is None or amount <= limit for amount, limit in checks)

    def _settle(self, reservation: Reservation, spent: Amounts) -> None:
        self._open.remove(reservation)
        self.used += spent
        if self._tokens is not None and self.used.tokens > self._tokens:
            self.passed = "token_limit"
        self._look_again()


class Reservation:
    """The part of a budget that one open request holds. `Budget.reserve` makes it.

    It is a context manager. Leaving it without a call of `settle` gives everything back. So settle it with what may
    have been used as soon as the request was sent.
    """

    def __init__(self, budget: Budget, worst: Amounts) -> None:
        self.worst = worst
        self.settled = False
        self._budget = budget

    def settle(self, usage: TokenCounts, cost_usd: float | None, *, counts: bool) -> None:
        """Charge what the request has used, and give back the rest. `cost_usd` is None if no price is known.

        `counts` says whether the request has used its turn, or its side request. Raise `RuntimeError` if the
        reservation is already settled.
        """
        if self.settled:
            raise RuntimeError("this reservation is already settled: a request is charged only once")
        self.settled = True
        turns, side_requests = (self.worst.turns, self.worst.side_requests) if counts else (0, 0)
        self._budget._settle(self, Amounts.of(usage, cost_usd, turns=turns, side_requests=side_requests))

    def give_back(self) -> None:
        """Settle the reservation for a request that used nothing, unless it is already settled."""
        if not self.settled:
            self.settle(TokenCounts(), None, counts=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()
