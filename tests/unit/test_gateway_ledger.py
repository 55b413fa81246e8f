"""The ledger's clock, for requests in any order, and the cost of an answer."""

from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.case import Price
from harness.gateway.ledger import Ledger


@settings(max_examples=40)
@given(spans=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=8))
def test_time_with_several_open_requests_counts_once(spans: list[tuple[int, int]]) -> None:
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


def test_a_price_is_per_million_tokens_and_cached_tokens_cost_as_input_by_default() -> None:
    counts = {"input_tokens": 10**6, "output_tokens": 10**6, "cache_read_tokens": 10**6, "cache_write_tokens": 10**6}
    assert Price(3, 15).cost_usd(**counts) == 3 + 15 + 3 + 3
    assert Price(3, 15, cache_read=0.3, cache_write=3.75).cost_usd(**counts) == 3 + 15 + 0.3 + 3.75
