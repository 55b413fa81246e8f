"""Processes that share a provider's pace never ask it faster or before it wants, and none waits for ever."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.budget_conf import PaceConf
from harness.gateway.purse import HeldSpend, Spend
from harness.gateway.shared_budget import LEASE_S, SharedBudget
from harness.gateway.shared_pace import LONGEST_S, WINDOW_S, SharedPace, TooFast

LIMITS = PaceConf(concurrent=3, requests_per_minute=5, tokens_per_minute=1000)
numbers = itertools.count(1)
processes = st.integers(0, 2)
operations = st.one_of(
    st.tuples(st.just("ask"), processes, st.sampled_from([0, 10, 300, 600, 2000])),
    st.tuples(st.just("answer"), st.integers(0, 3), st.sampled_from([1.0, 0.5, 0.0])),
    st.tuples(st.just("kill"), processes),
    st.tuples(st.just("told"), processes, st.sampled_from([0.5, 20.0, 100.0, 1e9])),
    st.tuples(st.just("loading"), processes, st.booleans()),
    st.tuples(st.just("wait"), st.floats(0, 40)),
)


class Hour:
    """Processes that ask one provider, and what it saw: the requests that are open, and all with time and tokens."""

    def __init__(self, file: Path) -> None:
        number = next(numbers)
        self.now = 1e6 * number
        self.pace = SharedPace(f"provider{number}", LIMITS, f"service{number}")
        self.told_until = self.loading_until = 0.0
        self.file = file
        self.running = [SharedBudget(file, lambda: self.now) for _ in range(3)]
        self.open: list[tuple[int, HeldSpend, int]] = []
        self.sent: list[list[float]] = []

    def ask(self, process: int, tokens: int) -> None:
        answer = self.running[process].reserve([], Spend(tokens=tokens, requests=1), self.pace)
        held = max(self.told_until, self.loading_until) - self.now
        if held > 0:
            assert isinstance(answer, TooFast)
            assert answer.seconds == pytest.approx(held)
        if isinstance(answer, HeldSpend):
            self.open.append((process, answer, len(self.sent)))
            self.sent.append([self.now, tokens])

    def answer(self, number: int, share: float) -> None:
        for process, held, place in self.open[number : number + 1]:
            self.sent[place][1] *= share
            self.running[process].settle(held, Spend(tokens=int(self.sent[place][1])))
            del self.open[number]

    def told(self, process: int, seconds: float) -> None:
        """An answer tells one process when the provider wants to be asked again."""
        self.running[process].hold_back(self.pace, "retry_after", seconds)
        self.told_until = max(self.told_until, self.now + min(seconds, LONGEST_S))

    def loading(self, process: int, still: bool) -> None:
        """A request of one process finds the model loading, or has found it loaded."""
        self.running[process].hold_back(self.pace, "loading", 6.0 if still else 0.0)
        self.loading_until = self.now + (6.0 if still else 0.0)

    def kill(self, process: int) -> None:
        """End a process without a word. The provider stops answering it."""
        self.running[process] = SharedBudget(self.file, lambda: self.now)
        self.open = [one for one in self.open if one[0] != process]

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for one in self.running:
            one.renew()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One file for all schedules. It stays open, because SQLite waits for the disk when the last process closes it."""
    path = tmp_path_factory.mktemp("pace") / "budget.sqlite"
    keeper = SharedBudget(path, lambda: 0.0)
    yield path
    keeper.close()


@given(schedule=st.lists(operations, min_size=15, max_size=40))
def test_no_schedule_is_too_fast_or_waits_for_ever(schedule: list[tuple[str, *tuple[object, ...]]], file: Path) -> None:
    hour = Hour(file)
    for name, *arguments in schedule:
        getattr(hour, name)(*arguments)
        assert len(hour.open) <= 3
        minute = [tokens for at, tokens in hour.sent if at > hour.now - 60]
        assert len(minute) <= 5
        assert sum(minute) <= 1000 or len(minute) == 1
    hour.now += 2 * LEASE_S + WINDOW_S + LONGEST_S
    last = SharedBudget(file, lambda: hour.now)
    assert isinstance(last.reserve([], Spend(tokens=5000, requests=1), hour.pace), HeldSpend)
