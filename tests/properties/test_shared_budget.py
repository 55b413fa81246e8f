"""A budget that several processes share is never overspent, whatever they do, and nothing stays reserved."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.gateway.purse import Full, HeldSpend, Purse, Spend
from harness.gateway.shared_budget import LEASE_S, SharedBudget

NIGHT = Purse(name="suite/nightly", cost_usd=1.0, tokens=1000, requests=12)
DAY = Purse(name="provider/openai/2026-11-26", cost_usd=0.7)
OTHER = Purse(name="provider/google/2026-11-26", tokens=800)

spends = st.builds(Spend.of, st.sampled_from([0.0, 0.1, 0.35, 0.6]), st.sampled_from([0, 10, 300, 600]))
shares = st.sampled_from([1.0, 0.5, 0.0])
purses = st.sampled_from([(NIGHT,), (NIGHT, DAY), (NIGHT, OTHER)])
numbers = itertools.count(1)
processes = st.integers(0, 3)
operations = st.one_of(
    st.tuples(st.just("ask"), processes, purses, spends, st.booleans()),
    st.tuples(st.just("send"), st.integers(0, 9)),
    st.tuples(st.just("answer"), st.integers(0, 9), shares),
    st.tuples(st.just("kill"), processes),
    st.tuples(st.just("wait"), st.floats(0, LEASE_S)),
)


@dataclass
class Request:
    """A request of a process: what it may cost, and what the provider bills for it once it was sent."""

    process: int
    purses: tuple[Purse, ...]
    worst: Spend
    held: HeldSpend
    sent: bool = False
    answered: bool = False


@dataclass
class Schedule:
    """Processes that share the purses of a file, and a provider that bills what was sent.

    Each schedule has purses of its own, and begins after all processes of earlier schedules have died.
    """

    file: Path
    number: int
    requests: list[Request] = field(default_factory=list)
    billed: dict[str, Spend] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = 1e6 * self.number
        self.running = [self.begin() for _ in range(4)]

    def begin(self) -> SharedBudget:
        return SharedBudget(self.file, lambda: self.now)

    def own(self, purse: Purse) -> Purse:
        return replace(purse, name=f"{purse.name}/{self.number}")

    @property
    def purses(self) -> list[Purse]:
        return [self.own(purse) for purse in (NIGHT, DAY, OTHER)]

    def ask(self, process: int, of: tuple[Purse, ...], worst: Spend, at_once: bool) -> None:
        of = tuple(map(self.own, of))
        answer = self.running[process].reserve(of, worst)
        if isinstance(answer, HeldSpend):
            sent = at_once and self.running[process].send(answer)
            self.requests.append(Request(process, of, worst, answer, sent=sent))

    def send(self, number: int) -> None:
        for request in self.requests[number : number + 1]:
            if not request.sent:
                request.sent = self.running[request.process].send(request.held)

    def answer(self, number: int, share: float) -> None:
        """Bill a request that was sent, and tell its process, which may have been taken for dead meanwhile."""
        for request in self.requests[number : number + 1]:
            if request.sent and not request.answered:
                used = Spend(
                    nano_usd=int(request.worst.nano_usd * share), tokens=int(request.worst.tokens * share), requests=1
                )
                self._bill(request, used)
                self.running[request.process].settle(request.held, used)

    def kill(self, process: int) -> None:
        """End a process without a word. The provider answers what it had sent, and nobody reads it."""
        for request in self.requests:
            if request.process == process:
                if request.sent and not request.answered:
                    self._bill(request, request.worst)
                request.sent = request.answered = True
        self.running[process] = self.begin()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.running[0].renew()  # the others do not, so they may be taken for dead although they live

    def _bill(self, request: Request, used: Spend) -> None:
        request.answered = True
        for purse in request.purses:
            self.billed[purse.name] = self.billed.get(purse.name, Spend()) + used

    def end(self) -> None:
        """Let all processes die, and another one come later."""
        for request in self.requests:
            if request.sent and not request.answered:
                self._bill(request, request.worst)
        self.now += 2 * LEASE_S
        self.running = [self.begin()]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One file for all schedules. It stays open, because SQLite waits for the disk when the last process closes it."""
    path = tmp_path_factory.mktemp("shared") / "budget.sqlite"
    keeper = SharedBudget(path, lambda: 0.0)
    yield path
    keeper.close()


@given(schedule=st.lists(operations, min_size=15, max_size=40))
def test_no_schedule_overspends_or_leaks(schedule: list[tuple[str, *tuple[object, ...]]], file: Path) -> None:
    world = Schedule(file, next(numbers))
    for name, *arguments in schedule:
        operation: Callable[..., None] = getattr(world, name)
        operation(*arguments)
        for purse in world.purses:
            assert purse.exceeded_by(world.billed.get(purse.name, Spend())) is None
            assert purse.exceeded_by(world.running[0].spent(purse)) is None
    world.end()
    [last] = world.running
    for purse in world.purses:
        spent, billed = last.spent(purse), world.billed.get(purse.name, Spend())
        assert last.reserved(purse) == Spend()
        assert spent.nano_usd >= billed.nano_usd
        assert spent.tokens >= billed.tokens
        assert spent.requests >= billed.requests
        answer = last.reserve((purse,), Spend(requests=1))
        assert isinstance(answer, HeldSpend) or (isinstance(answer, Full) and answer.over), "nobody waits for ever"
