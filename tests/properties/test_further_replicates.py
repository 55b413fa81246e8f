"""Further replicates under xdist, in virtual time: any cases, workers, crashes and rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from xdist.remote import Producer  # type: ignore[import-untyped]  # xdist says no types

from harness.further import FurtherTest, Numbering, Replicates, key_of
from harness.schedule.planner import Machine
from harness.schedule.scheduler import CaseScheduling, Demand
from tests.properties.test_scheduling import NEEDS, again_or_never
from tests.support.cases import REMOTE, make_case
from tests.support.virtual_xdist import Item, Outcome, VirtualRun

QUIET = Producer("", enabled=False)
PLANNED = 2


class Night(msgspec.Struct, frozen=True):
    """The collected tests, the tests of each round of further replicates, and the machine."""

    collected: list[Item]
    folders: dict[str, str]
    rounds: list[list[FurtherTest]]
    kills: list[int]
    workers: int
    machine: Machine

    def items(self) -> list[Item]:
        """Return all tests by number: the collected ones, the pause, and those of further replicates."""
        last = max((test.number for tests in self.rounds for test in tests), default=0)
        items = [*self.collected, Item("the pause", 0.0)]
        items += [Item("never", 1.0)] * (last + 1 - len(items))
        for count, test in enumerate(test for tests in self.rounds for test in tests):
            kills = self.kills[count % len(self.kills)]
            items[test.number] = replace(self.collected[test.like], nodeid=test.nodeid, kills=kills)
        return items

    def run(self, *, worker_restarts: int | None = None) -> tuple[Outcome, Counter[str], int]:
        """Run it. Return the outcome, the tests that were given up, and how often the next round was asked for."""
        given_up = Counter[str]()
        asked: list[set[str]] = []

        def next_round() -> Sequence[FurtherTest]:
            done = {*run.outcome.ended, *given_up}
            before = [test.nodeid for tests in self.rounds[: len(asked)] for test in tests]
            assert {*(item.nodeid for item in self.collected), *before} <= done, "asked before everything had run"
            asked.append(done)
            return self.rounds[len(asked) - 1] if len(asked) <= len(self.rounds) else []

        demands = {
            folder: Demand(item.seconds, item.server)
            for item in self.collected
            if (folder := self.folders.get(item.nodeid))
        }
        run = VirtualRun(
            self.items(),
            lambda config, clock: CaseScheduling(
                config, QUIET, demands, self.machine, self.folders, clock, next_round=next_round
            ),
            workers=self.workers,
            gpus=self.machine.gpus,
            cpu_slots=self.machine.cpu_slots,
            collected=len(self.collected),
            options={"max_worker_restart": worker_restarts},
            on_crash=again_or_never(given_up),
        )
        return run.run(), given_up, len(asked)


@st.composite
def nights(draw: st.DrawFn) -> Night:
    """Draw a session of cases with up to two tests each, some other tests, and up to five rounds."""
    kills = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2])
    cases, collected, folders = [], [], {}
    for number in range(draw(st.integers(1, 8))):
        need = draw(st.none() | st.sampled_from(NEEDS))
        case = make_case(environment=f"e{number}", provider=REMOTE)
        cases.append(case)
        for test in range(draw(st.integers(1, 2))):
            item = Item(f"t.py::test_{test}[{case.id}]", draw(st.floats(0, 500)), need, draw(kills))
            collected.append(item)
            folders[item.nodeid] = case.id
    collected += [Item(f"t.py::test_plain[{i}]", draw(st.floats(0, 5))) for i in range(draw(st.integers(0, 6)))]
    collected = draw(st.permutations(collected))
    replicates = Replicates([item.nodeid for item in collected], folders, cases, PLANNED)
    last = Counter[int]()
    rounds = []
    for wanted in draw(st.lists(st.sets(st.integers(0, len(cases) - 1), min_size=1), max_size=5)):
        tests: list[FurtherTest] = []
        for number in wanted:
            tests += replicates.one_more(key_of(cases[number]), PLANNED + last[number])
            last[number] += 1
        rounds.append(tests)
    return Night(
        collected=collected,
        folders=folders,
        rounds=rounds,
        kills=draw(st.lists(kills, min_size=1, max_size=5)),
        workers=draw(st.integers(1, 5)),
        machine=Machine(gpus=draw(st.integers(0, 4)), cpu_slots=draw(st.integers(1, 2))),
    )


@given(nights())
def test_each_test_of_each_round_runs_exactly_once_and_then_the_session_ends(night: Night) -> None:
    outcome, given_up, asked = night.run()
    del outcome.ended["the pause"]
    added = [test.nodeid for tests in night.rounds for test in tests]
    assert outcome.ended + given_up == Counter([*(item.nodeid for item in night.collected), *added])
    assert asked == len(night.rounds) + 1


@given(nights(), st.integers(0, 2))
def test_a_session_that_may_not_replace_its_workers_ends_all_the_same(night: Night, restarts: int) -> None:
    outcome, given_up, _ = night.run(worker_restarts=restarts)
    del outcome.ended["the pause"]
    assert set((outcome.ended + given_up).values()) <= {1}


@given(st.integers(1, 2000), st.integers(1, 20), st.data())
def test_a_number_tells_the_collected_test_and_the_replicate(
    collected: int, replicate: int, data: st.DataObject
) -> None:
    numbering = Numbering(collected)
    like = data.draw(st.integers(0, collected - 1))
    number = numbering.further(like, replicate)
    assert numbering.origin(number) == (like, replicate)
    assert number > numbering.pause >= collected
