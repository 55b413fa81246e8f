"""What a case may use of its model. All attempts at the case share one budget, and each request reserves its part."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from operator import add
from types import TracebackType
from typing import Self

from msgspec import Struct

from harness.case import Limits
from harness.gateway.messages import TokenCounts


def side_limit(turns: int) -> int:
    """Return how many side requests go with this many turns.

    Side requests take no turn. Without a limit of their own, a program in the sandbox could ask the model for nothing.
    CLIs ask for a title or a summary, a few times a turn at most.
    """
    return 4 * turns + 20


class Amounts(Struct, frozen=True, kw_only=True):
    """What one or more requests use, or may use: `tokens` are input and output, without cached input."""

    turns: int = 0
    side_requests: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    @classmethod
    def of(cls, usage: TokenCounts, cost_usd: float | None, *, turns: int = 0, side_requests: int = 0) -> Self:
        """Return the amounts of a request that uses these tokens. `cost_usd` is None where no price is known."""
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
            tokens=self.tokens + other.tokens,
            cost_usd=self.cost_usd + other.cost_usd,
        )


class RequestRefused(Exception):
    """A request gets no answer. `limit` is the ending that the session comes to; the message explains it."""

    def __init__(self, limit: str, explanation: str) -> None:
        super().__init__(explanation)
        self.limit = limit


class Budget:
    """The limits of one case on its model requests, and what the case has used of them. None means no limit.

    Reserve the worst case of a request before it goes to the model, and settle the reservation when its answer has
    ended. A request is refused once a limit is used up. It waits while the worst cases of the open requests leave too
    little room for its own. It is admitted in any case when no other request is open, because its worst case is only an
    estimate. So one answer can go beyond a limit, and the next request is refused.

    `used` holds what the settled requests have used. `passed` is the limit that a request ran into, by the name of its
    ending: the first request after a limit is used up, or an answer that goes beyond the tokens. An answer that goes
    beyond the dollars passes no limit: it is paid for, so the session may use it.

    Reserve and settle on one event loop. Read from any thread.
    """

    def __init__(self, turns: int | None = None, *, tokens: int | None = None, cost_usd: float | None = None) -> None:
        if turns is not None and turns < 0:
            raise ValueError(f"a budget of {turns} turns makes no sense: it must be 0 or more")
        self.used = Amounts()
        self.passed: str | None = None
        self._turns = turns
        self._side_requests = None if turns is None else side_limit(turns)
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
        """Reserve the worst case of a request: one turn or one side request, and what it may use of the rest.

        Waits while the open requests leave too little room, first come first served. Raises `RequestRefused` as soon as
        a limit is used up.
        """
        with self._place() as place:
            while True:
                self._refuse_beyond_a_limit(worst)
                if self._queue[0] is place and self._has_room(worst):
                    reservation = Reservation(self, worst)
                    self._open.add(reservation)
                    return reservation
                await self._moved.wait()

    def explain(self, limit: str) -> str:
        """Return a sentence that says what the case has used of a limit that it has passed."""
        match limit:
            case "turn_limit" if self._turns is not None and self.used.turns < self._turns:
                sides = f"all {self._side_requests} requests without tools"
                return f"this case has used {sides} that go with limits.turns={self._turns}"
            case "turn_limit":
                return f"this case has used all of its turns (limits.turns={self._turns})"
            case "token_limit":
                return f"this case has used {self.used.tokens} of {self._tokens} tokens"
            case _:
                return f"this case has used {self.used.cost_usd:.4f} of {self._cost_usd} US dollars"

    @contextmanager
    def _place(self) -> Iterator[object]:
        """Hold a place in the queue. When it is left, the others look whether they can go on."""
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
    """The part of a budget that one open request holds. Made by `Budget.reserve`.

    A context manager: leaving it without `settle` gives everything back.
    """

    def __init__(self, budget: Budget, worst: Amounts) -> None:
        self.worst = worst
        self.settled = False
        self._budget = budget

    def settle(self, usage: TokenCounts, cost_usd: float | None, *, counts: bool) -> None:
        """Charge what the request has used, and give back the rest. `cost_usd` is None where no price is known.

        `counts` says whether the request has used its turn, or its side request. Raises `RuntimeError` if the
        reservation is settled already.
        """
        if self.settled:
            raise RuntimeError("this reservation is settled already: a request is charged once")
        self.settled = True
        turns, side_requests = (self.worst.turns, self.worst.side_requests) if counts else (0, 0)
        self._budget._settle(self, Amounts.of(usage, cost_usd, turns=turns, side_requests=side_requests))

    def give_back(self) -> None:
        """Settle the reservation for a request that used nothing, unless it is settled already."""
        if not self.settled:
            self.settle(TokenCounts(), None, counts=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()
