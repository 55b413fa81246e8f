"""The ledger's clock and the budget's count, whatever order requests come and go in."""

from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.case import Price
from harness.gateway.budget import Budget, side_limit
from harness.gateway.ledger import Ledger
from harness.gateway.messages import TokenCounts


@settings(max_examples=40)
@given(spans=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=8))
def test_time_with_a_request_open_is_counted_once_however_many_are(spans: list[tuple[int, int]]) -> None:
    clock = SimpleNamespace(now=0.0)
    moves = sorted(
        [(start, 1, i) for i, (start, _) in enumerate(spans)] + [(s + d, 0, i) for i, (s, d) in enumerate(spans)]
    )
    opened: dict[int, AbstractContextManager[Any]] = {}
    stand_in = SimpleNamespace(monotonic=lambda: clock.now)
    with TemporaryDirectory() as folder, patch("harness.gateway.ledger.time", stand_in):
        ledger = Ledger(Path(folder) / "gateway.jsonl")
        for clock.now, opens, i in moves:
            if opens:
                opened[i] = ledger.entry("POST", "/")
                opened[i].__enter__()
            else:
                opened[i].__exit__(None, None, None)
        ledger.close()
    covered = {second for start, length in spans for second in range(start, start + length)}
    assert ledger.busy_s == len(covered)
    assert ledger.open_requests == 0
    assert ledger.last_activity == clock.now


@given(limit=st.integers(0, 6), moves=st.lists(st.booleans(), max_size=40))
def test_a_budget_never_lends_more_than_it_has_and_takes_back_what_failed(limit: int, moves: list[bool]) -> None:
    budget, lent = Budget(limit), 0
    for reserve in moves:
        if reserve:
            assert (budget.reserve() == "turn_limit") == (lent == limit)
            lent = min(lent + 1, limit)
        elif lent:
            budget.give_back()
            lent -= 1


def test_a_budget_without_limit_has_no_end_and_a_negative_one_is_refused() -> None:
    endless = Budget()
    assert {endless.reserve() for _ in range(1000)} == {None}
    with pytest.raises(ValueError, match="-1 turns"):
        Budget(-1)


@given(limit=st.integers(1, 100), spent=st.lists(st.integers(0, 30), max_size=20))
def test_tokens_are_refused_once_used_up_and_passed_once_exceeded(limit: int, spent: list[int]) -> None:
    budget, used = Budget(tokens=limit), 0
    for tokens in spent:
        assert budget.reserve() == (None if used < limit else "token_limit")
        budget.spend(
            TokenCounts(input_tokens=tokens - tokens // 2, output_tokens=tokens // 2, cache_read_tokens=99), None
        )
        used += tokens
        assert used <= limit or budget.passed == "token_limit"
        assert used >= limit or budget.passed is None


def test_a_cost_limit_is_passed_by_the_request_that_would_start_beyond_it_and_not_by_an_answer() -> None:
    budget = Budget(1, cost_usd=0.9)
    assert budget.reserve(turn=False) is None
    assert budget.reserve() is None
    budget.spend(TokenCounts(), None)
    budget.spend(TokenCounts(), 1.0)
    assert (budget.passed, budget.reserve(turn=False), budget.passed) == (None, "cost_limit", "cost_limit")
    assert "1.0000 of 0.9 US dollars" in budget.explain("cost_limit")


@given(turns=st.integers(0, 3), moves=st.lists(st.booleans(), max_size=80))
def test_limited_turns_limit_the_side_requests_too_but_for_those_that_failed(turns: int, moves: list[bool]) -> None:
    budget, lent = Budget(turns), 0
    for reserve in moves:
        if reserve:
            assert (budget.reserve(turn=False) == "turn_limit") == (lent == side_limit(turns))
            lent = min(lent + 1, side_limit(turns))
        elif lent:
            budget.give_back(turn=False)
            lent -= 1
    assert (budget.reserve() is None) == (turns > 0), "they take no turn"


def test_a_session_that_is_being_stopped_gets_nothing_more() -> None:
    budget = Budget()
    budget.end("memory_limit")
    assert (budget.reserve(), budget.reserve(turn=False), budget.passed) == ("memory_limit", "memory_limit", None)
    assert "being stopped" in budget.explain("memory_limit")


def test_a_price_is_per_million_tokens_and_cached_ones_cost_as_input_by_default() -> None:
    counts = {"input_tokens": 10**6, "output_tokens": 10**6, "cache_read_tokens": 10**6, "cache_write_tokens": 10**6}
    assert Price(3, 15).cost_usd(**counts) == 3 + 15 + 3 + 3
    assert Price(3, 15, cache_read=0.3, cache_write=3.75).cost_usd(**counts) == 3 + 15 + 0.3 + 3.75
