"""A budget shared by many requests holds, and no request waits forever, in whatever order they come and end."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from harness.gateway.budget import Amounts, Budget, RequestRefused, Reservation, side_limit
from harness.gateway.messages import TokenCounts


class Ask(Struct, frozen=True):
    """A new request arrives."""

    worst: Amounts


class Settle(Struct, frozen=True):
    """An open request (chosen by number) ends after it used this share of its worst case."""

    which: int
    quarters: int
    counts: bool


class Leave(Struct, frozen=True):
    """An open request ends without being settled."""

    which: int


class Cancel(Struct, frozen=True):
    """A request, open or waiting, is cancelled."""

    which: int


class CancelFirst(Struct, frozen=True):
    """The first request in the queue is cancelled."""


class Rest(Struct, frozen=True):
    """Nothing happens until every request that can continue has continued."""


Move: TypeAlias = Ask | Settle | Leave | Cancel | CancelFirst | Rest

numbers = st.integers(0, 7)
amounts = st.builds(
    lambda side, tokens, cost: Amounts(
        turns=0 if side else 1, side_requests=1 if side else 0, tokens=tokens, cost_usd=cost / 4
    ),
    st.booleans(),
    st.integers(1, 40),
    st.integers(0, 40),
)
ends = st.builds(Settle, numbers, st.integers(0, 4), st.booleans()) | st.builds(Leave, numbers)
cancels = st.builds(Cancel, numbers) | st.builds(CancelFirst)
moves = st.lists(st.one_of(st.builds(Ask, amounts), ends, cancels, st.builds(Rest)), max_size=12)
plays = st.tuples(st.lists(st.builds(Ask, amounts), min_size=2, max_size=6), moves, moves).map(
    lambda parts: [move for part in parts for move in part]
)
limits = st.none() | st.integers(0, 150)
MANY = settings(max_examples=500)


class Crowd:
    """Requests that share a budget, and the test's own record of them."""

    def __init__(self, turns: int | None, tokens: int | None, quarters: int | None) -> None:
        self.limits = (turns, None if turns is None else side_limit(turns), tokens, quarters and quarters / 4)
        self.budget = Budget(turns, tokens=tokens, cost_usd=self.limits[3])
        self.worst: list[Amounts] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.ends: dict[int, asyncio.Future[Settle | None]] = {}
        self.open: dict[int, Reservation] = {}
        self.admitted: list[int] = []
        self.refused: list[int] = []
        self.settled = Amounts()

    async def request(self, number: int) -> None:
        worst = self.worst[number]
        try:
            reservation = await self.budget.reserve(worst)
        except RequestRefused:
            self.refused.append(number)
            assert self.is_used_up(worst)
            return
        self.admitted.append(number)
        self.open[number] = reservation
        try:
            with reservation:
                how = await self.ends[number]
                if how is not None:
                    self.settle(reservation, how)
        finally:
            assert reservation.settled
            del self.open[number]

    def settle(self, reservation: Reservation, how: Settle) -> None:
        worst = reservation.worst
        tokens, cost_usd = worst.tokens * how.quarters // 4, worst.cost_usd * how.quarters / 4
        reservation.settle(TokenCounts(output_tokens=tokens), cost_usd, counts=how.counts)
        turns, sides = (worst.turns, worst.side_requests) if how.counts else (0, 0)
        self.settled += Amounts(turns=turns, side_requests=sides, tokens=tokens, cost_usd=cost_usd)

    def make(self, move: Move) -> None:
        match move:
            case Ask(worst):
                self.worst.append(worst)
                self.ends[len(self.tasks)] = asyncio.get_running_loop().create_future()
                self.tasks.append(asyncio.create_task(self.request(len(self.tasks))))
            case Settle(which) | Leave(which) if self.ending:
                self.ends[self.ending[which % len(self.ending)]].set_result(move if isinstance(move, Settle) else None)
            case Cancel(which) if self.living:
                self.tasks[self.living[which % len(self.living)]].cancel()
            case CancelFirst() if self.waiting:
                self.tasks[self.waiting[0]].cancel()

    @property
    def living(self) -> list[int]:
        return [number for number, task in enumerate(self.tasks) if not task.done()]

    @property
    def ending(self) -> list[int]:
        """The open requests that have not been told how to end."""
        return [number for number in self.open if not self.ends[number].done()]

    @property
    def waiting(self) -> list[int]:
        return [number for number in self.living if number not in self.admitted]

    def is_used_up(self, worst: Amounts) -> bool:
        used = self.budget.used
        asks = (worst.turns, worst.side_requests, 1, 1)
        return any(
            asked and limit is not None and amount >= limit
            for asked, amount, limit in zip(asks, _numbers(used), self.limits, strict=True)
        )

    def fits(self, *worst: Amounts) -> bool:
        """Return whether all these requests, added to past use, stay within the limits."""
        total = sum(worst, self.budget.used)
        return all(limit is None or amount <= limit for amount, limit in zip(_numbers(total), self.limits, strict=True))

    async def rest(self) -> None:
        for _ in range(4 * len(self.tasks) + 4):
            await asyncio.sleep(0)

    def check(self) -> None:
        """Check the invariants that hold at any time."""
        assert self.budget.used == self.settled
        assert self.admitted == sorted(self.admitted), "first come, first served"
        worst = [one.worst for one in self.open.values()]
        assert len(worst) < 2 or self.fits(*worst)
        for used, limit, largest in zip(
            _numbers(self.settled), self.limits, _largest([self.worst[number] for number in self.admitted]), strict=True
        ):
            assert limit is None or used <= max(limit, 0) + largest, "at most one request exceeds a limit"
        if self.limits[0] is not None and self.limits[1] is not None:
            assert self.settled.turns + sum(one.turns for one in worst) <= self.limits[0]
            assert self.settled.side_requests + sum(one.side_requests for one in worst) <= self.limits[1]

    def check_at_rest(self) -> None:
        """Check the invariants that hold once every request that can continue has continued."""
        self.check()
        if self.waiting:
            first = self.worst[self.waiting[0]]
            assert self.open, "the first request in the queue waits although none is open"
            assert not self.fits(first, *(one.worst for one in self.open.values()))
            assert not any(self.is_used_up(self.worst[number]) for number in self.waiting)


def _numbers(amounts: Amounts) -> tuple[float, ...]:
    return amounts.turns, amounts.side_requests, amounts.tokens, amounts.cost_usd


def _largest(amounts: list[Amounts]) -> tuple[float, ...]:
    return tuple(map(max, zip(*map(_numbers, amounts), strict=True))) if amounts else (0, 0, 0, 0)


async def _play(crowd: Crowd, moves: list[Move]) -> None:
    for move in moves:
        crowd.make(move)
        if isinstance(move, Rest):
            await crowd.rest()
            crowd.check_at_rest()
        else:
            await asyncio.sleep(0)
            crowd.check()
    while crowd.living:
        await crowd.rest()
        crowd.check_at_rest()
        crowd.make(Settle(0, quarters=2, counts=True))
    await asyncio.gather(*crowd.tasks, return_exceptions=True)
    crowd.check_at_rest()


@MANY
@given(turns=st.none() | st.integers(0, 4), tokens=limits, quarters=limits, moves=plays)
def test_a_shared_budget_holds_and_every_request_ends(
    turns: int | None, tokens: int | None, quarters: int | None, moves: list[Move]
) -> None:
    crowd = Crowd(turns, tokens, quarters)
    asyncio.run(_play(crowd, moves))
    assert not crowd.open
    assert all(task.cancelled() or task.exception() is None for task in crowd.tasks)
    assert set(crowd.admitted) & set(crowd.refused) == set()


@given(moves=plays)
def test_without_limits_no_request_waits_or_is_refused(moves: list[Move]) -> None:
    async def play() -> None:
        for move in moves:
            crowd.make(move)
            await asyncio.sleep(0)
            assert not crowd.waiting
        for task in crowd.tasks:
            task.cancel()
        await asyncio.gather(*crowd.tasks, return_exceptions=True)

    crowd = Crowd(None, None, None)
    asyncio.run(play())
    assert not crowd.refused
