"""Distribution of any cases over any workers and GPUs, in virtual time; and the shards of a suite."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from xdist.remote import Producer  # type: ignore[import-untyped]  # xdist says no types
from xdist.scheduler import LoadScheduling  # type: ignore[import-untyped]  # likewise

from harness.case import Case, ServerNeed
from harness.schedule.auto_workers import CORES_A_SESSION, GB_A_SESSION, workers
from harness.schedule.planner import Job, Machine, Planner
from harness.schedule.scheduler import CaseScheduling, Demand, NotAgainError
from harness.suite.shard import Shard, shard, shards
from tests.support.cases import REMOTE, make_case
from tests.support.virtual_xdist import Item, Outcome, VirtualRun

QUIET = Producer("", enabled=False)


def again_or_never(given_up: Counter[str]) -> Callable[[CaseScheduling, str], None]:
    """Return what happens to a test that kills its worker: a case may run again. Other tests are counted."""

    def on_crash(scheduler: CaseScheduling, nodeid: str) -> None:
        if scheduler.case_id(nodeid) is None:
            given_up[nodeid] += 1
            return
        try:
            scheduler.run_again(nodeid)
        except NotAgainError:
            given_up[nodeid] += 1

    return on_crash


class Session(msgspec.Struct, frozen=True):
    """The items to run, their expected durations, and the machine."""

    items: list[Item]
    expected: list[float]
    workers: int
    machine: Machine
    load_s: float = 60.0
    folders: dict[str, str] = {}  # msgspec copies it

    def run(self) -> tuple[Outcome, Counter[str]]:
        """Run it. Return the outcome, and the tests that were given up because they had killed workers."""
        demands = {
            item.nodeid.partition("[")[2][:-1]: Demand(seconds, item.server)
            for item, seconds in zip(self.items, self.expected, strict=True)
            if "test_case" in item.nodeid
        }
        given_up = Counter[str]()

        run = VirtualRun(
            self.items,
            lambda config, clock: CaseScheduling(config, QUIET, demands, self.machine, self.folders, clock),
            workers=self.workers,
            gpus=self.machine.gpus,
            cpu_slots=self.machine.cpu_slots,
            load_s=self.load_s,
            on_crash=again_or_never(given_up),
        )
        return run.run(), given_up

    def stays(self, outcome: Outcome) -> list[list[str]]:
        """Return the models that each worker used, in order."""
        models = {
            item.nodeid: item.server.key for item in self.items if item.server and self.machine.has_room(item.server)
        }
        return [
            [model for model, _ in itertools.groupby(map(models.get, order)) if model is not None]
            for order in outcome.orders.values()
        ]


seconds = st.floats(0, 1000)
one_gpu = st.builds(ServerNeed, st.sampled_from(["a", "b", "c", "d", "e"]), st.just(1), st.just(1))
NEEDS = [ServerNeed(f"{gpus}-{parallel}", gpus, parallel) for gpus in (0, 1, 2, 4) for parallel in (1, 2, 3)]


@st.composite
def sessions(
    draw: st.DrawFn,
    needs: st.SearchStrategy[ServerNeed | None] = st.none() | st.sampled_from(NEEDS),  # noqa: B008 - strategies never change
    kills: st.SearchStrategy[int] = st.sampled_from([0, 0, 0, 0, 0, 1, 2]),  # noqa: B008 - likewise
    plain: int = 20,
) -> Session:
    """Draw a session of some cases and at most `plain` other tests."""
    cases = draw(st.lists(st.tuples(seconds, seconds, needs, kills), min_size=1, max_size=40))
    others = draw(st.lists(st.tuples(st.floats(0, 5), kills), max_size=plain))
    items = [Item(f"t.py::test_case[{i}-c]", took, need, kill) for i, (took, _, need, kill) in enumerate(cases)]
    items += [Item(f"t.py::test_plain[{i}]", took, None, kill) for i, (took, kill) in enumerate(others)]
    return Session(
        items=items,
        expected=[expected for _, expected, _, _ in cases] + [0.0] * len(others),
        workers=draw(st.integers(1, 8)),
        machine=Machine(gpus=draw(st.integers(0, 5)), cpu_slots=draw(st.integers(1, 2))),
    )


@given(sessions())
def test_everything_runs_exactly_once_even_if_workers_are_killed(session: Session) -> None:
    outcome, given_up = session.run()
    assert outcome.ended + given_up == Counter(item.nodeid for item in session.items)
    for item in session.items:
        most = 2 if "test_case" in item.nodeid else 1
        assert outcome.crashed[item.nodeid] == min(item.kills, most)
        assert given_up[item.nodeid] == (item.kills >= most)


@given(sessions(), st.data())
def test_tests_that_share_a_session_follow_one_another_in_one_worker(session: Session, data: st.DataObject) -> None:
    cases = [item for item in session.items if "test_case" in item.nodeid]
    sharing = data.draw(st.lists(st.integers(0, len(cases) - 1), min_size=len(cases), max_size=len(cases)))
    items = [
        *(
            msgspec.structs.replace(item, server=cases[first].server)
            for item, first in zip(cases, sharing, strict=True)
        ),
        *session.items[len(cases) :],
    ]
    folders = {item.nodeid: f"{first}-c" for item, first in zip(cases, sharing, strict=True)}
    session = msgspec.structs.replace(session, items=items, folders=folders)
    outcome, given_up = session.run()
    assert outcome.ended + given_up == Counter(item.nodeid for item in items)
    killed = {folders[item.nodeid] for item in items if item.kills and item.nodeid in folders}
    for folder in set(folders.values()) - killed:
        ran = [[folders.get(nodeid) for nodeid in order] for order in outcome.orders.values()]
        [own] = [order for order in ran if folder in order]
        first, together = own.index(folder), own.count(folder)
        assert own[first : first + together] == [folder] * together


@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 6), st.none() | st.integers(1, 5))
def test_a_session_without_cases_is_distributed_as_with_dist_load(
    times: list[float], count: int, chunk: int | None
) -> None:
    items = [Item(f"t.py::test_plain[{i}]", took) for i, took in enumerate(times)]
    outcomes = [
        VirtualRun(items, scheduler, workers=count, gpus=0, options={"maxschedchunk": chunk}).run()
        for scheduler in (
            lambda config, clock: CaseScheduling(config, QUIET, {"other": Demand(1.0)}, Machine(0, 1), clock=clock),
            lambda config, clock: LoadScheduling(config, QUIET),
        )
    ]
    assert outcomes[0] == outcomes[1]


@given(sessions())
def test_the_same_session_is_distributed_the_same_way(session: Session) -> None:
    assert session.run() == session.run()


@given(sessions(needs=st.none() | st.sampled_from([need for need in NEEDS if need.parallel == 1]), kills=st.just(0)))
def test_a_worker_never_returns_to_a_model_that_it_left(session: Session) -> None:
    for stays in session.stays(session.run()[0]):
        assert len(stays) == len(set(stays))


@given(sessions(needs=st.none() | one_gpu, kills=st.just(0)))
def test_a_model_is_loaded_once_plus_at_most_once_per_further_slot(session: Session) -> None:
    outcome, _ = session.run()
    slots = min(session.workers, session.machine.gpus)
    models = {item.server.key for item in session.items if item.server}
    assert len(outcome.loads) <= (len(models) + slots - 1 if slots else 0)
    assert len(outcome.loads) == sum(map(len, session.stays(outcome)))


@given(sessions(needs=st.none() | one_gpu, kills=st.just(0)))
def test_no_worker_waits_for_a_gpu_if_each_model_takes_one(session: Session) -> None:
    assert session.run()[0].waited == 0.0


@given(sessions(needs=st.none(), kills=st.just(0), plain=0))
def test_workers_end_within_two_cases_of_each_other_if_times_are_known(session: Session) -> None:
    session = msgspec.structs.replace(session, expected=[item.seconds for item in session.items])
    outcome, _ = session.run()
    times = [item.seconds for item in session.items]
    assert outcome.makespan - 1.0 <= sum(times) / session.workers + 2 * max(times) + 1e-6


@given(
    st.lists(st.none() | st.sampled_from(NEEDS), max_size=60),
    st.builds(Machine, st.integers(0, 8), st.integers(1, 3)),
    st.integers(1, 64),
    st.floats(0.5, 256),
)
def test_auto_starts_no_more_workers_than_are_useful(
    needs: list[ServerNeed | None], machine: Machine, cores: int, memory_gb: float
) -> None:
    count = workers(needs, machine, cores=cores, memory_gb=memory_gb)
    assert 1 <= count <= max(1, len(needs))
    assert count == 1 or (count * CORES_A_SESSION <= cores and count * GB_A_SESSION <= memory_gb)


@given(
    st.lists(st.none() | st.sampled_from([need for need in NEEDS if need.gpus < 2 and need.parallel == 1]), min_size=1),
    st.builds(Machine, st.integers(0, 8), st.integers(1, 3)),
    st.integers(1, 64),
    st.floats(0.5, 256),
)
def test_each_worker_that_auto_starts_has_a_case_at_once(
    needs: list[ServerNeed | None], machine: Machine, cores: int, memory_gb: float
) -> None:
    count = workers(needs, machine, cores=cores, memory_gb=memory_gb)
    planner = Planner([Job(i, 60.0, need) for i, need in enumerate(needs)], machine, load_s=0.0, clock=lambda: 0.0)
    for number in range(count):
        planner.add(str(number))
    assert all(planner.next(str(number)) for number in range(count))


suites = st.builds(
    lambda sizes, rest: [
        *(make_case(model=f"m{model}", replicate=i) for model, size in enumerate(sizes) for i in range(size)),
        *(make_case(model="cloud", provider=REMOTE, replicate=i) for i in range(rest)),
    ],
    st.lists(st.integers(1, 40), max_size=8),
    st.integers(0, 20),
).flatmap(st.permutations)


@given(suites, st.integers(1, 6))
def test_shards_divide_a_suite_evenly_and_split_few_models(cases: list[Case], count: int) -> None:
    shards = [shard(cases, Shard(index, count)) for index in range(1, count + 1)]
    assert sorted(case.id for part in shards for case in part) == sorted(case.id for case in cases)
    for part in shards:
        assert part == [case for case in cases if case in part]
        assert len(part) <= max(1.1 * len(cases) / count, len(cases) / count + 1)
    parts_of = Counter(key for part in shards for key in {case.server.key for case in part if case.server})
    assert sum(parts_of.values()) <= len(parts_of) + count - 1


@given(suites, st.integers(1, 6), st.randoms(use_true_random=False))
def test_parts_are_even_by_what_their_cases_weigh(cases: list[Case], count: int, chance: random.Random) -> None:
    weights = {case.id: chance.choice([0.1, 1.0, chance.uniform(1, 100)]) for case in cases}
    parts = shards(cases, count, lambda case: weights[case.id])
    assert sorted(case.id for part in parts for case in part) == sorted(case.id for case in cases)
    mean = sum(weights.values()) / count
    for part in parts:
        assert sum(weights[case.id] for case in part) <= max(mean * 1.1, mean + max(weights.values(), default=0.0)) * (
            1 + 1e-9
        )
    parts_of = Counter(key for part in parts for key in {case.server.key for case in part if case.server})
    assert sum(parts_of.values()) <= len(parts_of) + count - 1


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6))
def test_no_model_is_split_if_models_divide_evenly(each: int, size: int, count: int) -> None:
    cases = [make_case(model=f"m{model}", replicate=i) for i in range(size) for model in range(each * count)]
    for index in range(1, count + 1):
        part = Counter(case.model.name for case in shard(cases, Shard(index, count)))
        assert part == dict.fromkeys(part, size)
        assert len(part) == each
