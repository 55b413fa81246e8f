"""The budget of a case, with one request at a time. `tests/properties/test_budget.py` has many at once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.case import Limits
from harness.gateway.budget import Amounts, Budget, RequestRefused, Reservation, side_limit
from harness.gateway.messages import TokenCounts

TURN = Amounts(turns=1, tokens=10, cost_usd=0.5)
SIDE = Amounts(side_requests=1, tokens=10, cost_usd=0.5)


def reserve(budget: Budget, worst: Amounts = TURN) -> Reservation:
    """Reserve without waiting, because nothing else is open or there is room."""
    return asyncio.run(asyncio.wait_for(budget.reserve(worst), 5))


def refused(budget: Budget, worst: Amounts = TURN) -> str | None:
    """Return the limit that refuses a request, or `None` if it is admitted. Either way it uses nothing."""
    try:
        reserve(budget, worst).give_back()
    except RequestRefused as refusal:
        return refusal.limit
    return None


def spend(budget: Budget, tokens: int = 0, cost_usd: float | None = None, *, worst: Amounts = TURN) -> None:
    usage = TokenCounts(input_tokens=tokens - tokens // 2, output_tokens=tokens // 2, cache_read_tokens=99)
    reserve(budget, worst).settle(usage, cost_usd, counts=True)


@given(limit=st.integers(0, 6), failed=st.lists(st.booleans(), max_size=20))
def test_turns_are_refused_once_used_up_and_a_failed_request_uses_none(limit: int, failed: list[bool]) -> None:
    budget, used = Budget(limit), 0
    for fails in failed:
        assert refused(budget) == ("turn_limit" if used == limit else None)
        if used < limit:
            reserve(budget).settle(TokenCounts(), None, counts=not fails)
            used += not fails
        assert budget.used.turns == used


@given(turns=st.integers(0, 3), failed=st.lists(st.booleans(), max_size=40))
def test_limited_turns_limit_the_side_requests_too(turns: int, failed: list[bool]) -> None:
    budget, used = Budget(turns), 0
    for fails in failed:
        assert refused(budget, SIDE) == ("turn_limit" if used == side_limit(turns) else None)
        if used < side_limit(turns):
            reserve(budget, SIDE).settle(TokenCounts(), None, counts=not fails)
            used += not fails
    assert budget.used.side_requests == used
    assert (refused(budget) is None) == (turns > 0), "they use no turn"


@given(limit=st.integers(1, 100), spent=st.lists(st.integers(0, 30), max_size=20))
def test_tokens_are_refused_once_used_up_and_the_limit_is_reported_once_exceeded(limit: int, spent: list[int]) -> None:
    budget, used = Budget(tokens=limit), 0
    for tokens in spent:
        assert refused(budget) == (None if used < limit else "token_limit")
        if used < limit:
            spend(budget, tokens)
            used += tokens
        assert budget.used.tokens == used
        assert used <= limit or budget.passed == "token_limit"
        assert used >= limit or budget.passed is None


def test_a_request_that_starts_beyond_a_cost_limit_exceeds_it_and_an_answer_does_not() -> None:
    budget = Budget(1, cost_usd=0.9)
    spend(budget, 0, 1.0)
    assert (budget.passed, refused(budget, SIDE), budget.passed) == (None, "cost_limit", "cost_limit")
    assert budget.explain("cost_limit") == "this case has used 1.0000 of 0.9 US dollars"


def test_an_answer_without_a_price_costs_nothing() -> None:
    budget = Budget(cost_usd=0.9)
    spend(budget, 1000, None)
    assert (budget.used.cost_usd, refused(budget)) == (0.0, None)


def test_a_budget_is_made_from_the_limits_of_a_case() -> None:
    assert refused(Budget.within(Limits(turns=None))) is None
    for limits in (Limits(turns=1), Limits(tokens=1), Limits(cost_usd=0.1)):
        budget = Budget.within(limits)
        spend(budget, 10, 0.5)
        assert refused(budget) is not None


def test_a_budget_without_limits_is_unlimited_and_a_negative_one_is_refused() -> None:
    budget = Budget()
    for _ in range(100):
        spend(budget, 10**9, 10**6)
    assert (budget.passed, refused(budget), refused(budget, SIDE)) == (None, None, None)
    with pytest.raises(ValueError, match="-1 turns"):
        Budget(-1)


def test_a_budget_reports_its_use() -> None:
    budget = Budget(1, tokens=7)
    for _ in range(side_limit(1)):
        spend(budget, worst=SIDE)
    assert refused(budget, SIDE) == "turn_limit"
    assert budget.explain("turn_limit") == "this case has used all 24 requests without tools that limits.turns=1 allows"
    spend(budget, 8)
    assert budget.explain("turn_limit") == "this case has used all of its turns (limits.turns=1)"
    assert budget.explain("token_limit") == "this case has used 8 of 7 tokens"


def test_a_reservation_is_settled_once() -> None:
    budget = Budget()
    with reserve(budget) as reservation:
        reservation.settle(TokenCounts(input_tokens=3), 0.25, counts=True)
        with pytest.raises(RuntimeError, match="already settled"):
            reservation.settle(TokenCounts(input_tokens=3), 0.25, counts=True)
        reservation.give_back()
    assert budget.used == Amounts(turns=1, tokens=3, cost_usd=0.25)


def test_an_unsettled_reservation_uses_nothing() -> None:
    budget = Budget(1)
    with pytest.raises(ZeroDivisionError), reserve(budget) as reservation:
        raise ZeroDivisionError
    assert reservation.settled
    assert (budget.used, refused(budget)) == (Amounts(), None)
