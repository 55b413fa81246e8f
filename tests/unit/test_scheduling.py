"""Distribution over workers: plans for known situations, lessons from earlier runs, and real sessions."""

from __future__ import annotations

import os
from collections import Counter
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]  # xdist says no types
from xdist.scheduler import (  # type: ignore[import-untyped]  # likewise
    EachScheduling,
    LoadFileScheduling,
    LoadGroupScheduling,
    LoadScheduling,
    LoadScopeScheduling,
    WorkStealingScheduling,
)

from harness.case import ServerNeed
from harness.results.entries import entries_of
from harness.results.times import UNKNOWN_S, Times
from harness.schedule import machine as machines
from harness.schedule.auto_workers import workers
from harness.schedule.machine import auto_workers, this_machine
from harness.schedule.planner import Job, Machine, Planner
from harness.schedule.scheduler import CaseScheduling, take_over
from harness.servers.gpus import Gpu
from harness.suite.shard import Shard, parse_shard
from tests.benchmarks import scheduling as benchmark
from tests.support.cases import REMOTE, make_case
from tests.support.project import Project

A, B = ServerNeed("a", gpus=1, parallel=1), ServerNeed("b", gpus=1, parallel=1)
SHARED = ServerNeed("shared", gpus=1, parallel=2)
LARGE = ServerNeed("large", gpus=2, parallel=1)


class Plan:
    """A planner at time 0, with workers w0, w1, …"""

    def __init__(self, *jobs: tuple[float, ServerNeed | None], workers: int, gpus: int) -> None:
        self.time = 0.0
        numbered = [Job(index, seconds, need) for index, (seconds, need) in enumerate(jobs)]
        self.planner = Planner(numbered, Machine(gpus, cpu_slots=1), clock=lambda: self.time)
        for number in range(workers):
            self.planner.add(f"w{number}")

    def next(self, worker: int) -> int | None:
        job = self.planner.next(f"w{worker}")
        return None if job is None else job.index

    def done(self, worker: int, index: int, at: float) -> None:
        self.time = at
        self.planner.done(f"w{worker}", index)


def test_the_longest_group_starts_first_and_its_longest_job_in_it() -> None:
    plan = Plan((10, A), (30, B), (90, B), (20, A), workers=1, gpus=1)
    assert [plan.next(0) for _ in range(5)] == [2, 1, 3, 0, None]


def test_a_group_stays_on_its_worker_and_others_run_what_needs_no_server() -> None:
    plan = Plan((60, A), (60, A), (60, None), (60, None), workers=2, gpus=1)
    assert [plan.next(0), plan.next(1), plan.next(0), plan.next(1)] == [0, 2, 1, 3]


def test_the_next_group_starts_on_the_gpu_that_the_last_one_leaves() -> None:
    plan = Plan((60, A), (50, B), workers=2, gpus=1)
    assert plan.next(0) == 0
    assert plan.next(1) is None
    assert plan.next(0) == 1


def test_a_seat_at_a_running_server_is_taken_before_a_model_is_loaded_again() -> None:
    for gpus, third in ((1, None), (2, 2)):
        plan = Plan(*[(1000, SHARED)] * 6, workers=3, gpus=gpus)
        assert [plan.next(worker) for worker in range(3)] == [0, 1, third]


def test_a_group_is_spread_only_if_that_saves_more_than_the_load_costs() -> None:
    little = Plan((60, A), (60, A), (60, A), workers=2, gpus=2)
    assert (little.next(0), little.next(1)) == (0, None)
    much = Plan(*[(60, A)] * 10, workers=2, gpus=2)
    assert (much.next(0), much.next(1)) == (0, 1)


def test_a_model_for_several_gpus_goes_first_and_the_rest_fits_beside_it() -> None:
    plan = Plan((900, A), (10, LARGE), (20, B), workers=3, gpus=3)
    assert [plan.next(0), plan.next(1), plan.next(2)] == [1, 0, None]
    assert plan.next(0) == 2


def test_a_short_job_does_not_wait_behind_a_long_one() -> None:
    plan = Plan((500, None), (60, None), (50, None), workers=2, gpus=0)
    assert [plan.next(0), plan.next(1)] == [0, 1]
    assert plan.next(0) is None
    assert plan.next(1) == 2


def test_a_job_that_takes_longer_than_expected_should_end_now() -> None:
    plan = Plan((60, None), (60, None), (60, None), (60, None), (60, None), workers=2, gpus=0)
    assert [plan.next(0), plan.next(1), plan.next(0), plan.next(1)] == [0, 1, 2, 3]
    plan.done(0, 0, at=200.0)
    assert plan.next(0) == 4


def test_a_lost_worker_returns_the_jobs_that_it_had_not_begun() -> None:
    plan = Plan((60, A), (50, A), (40, A), workers=2, gpus=1)
    assert (plan.next(0), plan.next(0)) == (0, 1)
    lost = plan.planner.lose("w0")
    assert lost is not None
    assert lost.index == 0
    assert plan.planner.left == 2
    plan.planner.give_back(lost)
    assert [plan.next(1) for _ in range(4)] == [0, 1, 2, None]


def test_a_model_that_fits_on_no_gpu_is_scheduled_like_a_case_without_a_server() -> None:
    plan = Plan((60, LARGE), (60, LARGE), workers=2, gpus=1)
    assert [plan.next(0), plan.next(1)] == [0, 1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_thousand_cases_of_12_models_on_8_gpus_end_near_the_least_possible_time(seed: int) -> None:
    cases = benchmark.suite(seed)
    for known in (True, False):
        outcome = benchmark.run(cases.items, benchmark.ours(cases, known=known))
        assert outcome.makespan <= 1.15 * cases.least_s()
        assert len(outcome.loads) <= benchmark.MODELS + benchmark.GPUS - 1


def line(case: str, seconds: float, outcome: str = "passed", model: str = "m", environment: str = "e") -> bytes:
    record = {
        "case": {"id": case, "model": model, "environment": environment},
        "outcome": outcome,
        "timing": {"setup_s": 1.0, "agent_s": seconds - 1.0, "evaluation_s": None},
        "since": "a later version",
    }
    return msgspec.json.encode(record)


def times(lines: list[bytes]) -> Times:
    return Times(entries_of(lines).entries)


def test_a_case_is_expected_to_take_its_last_time_or_that_of_similar_cases() -> None:
    case = make_case(model="m", environment="e")
    ours = [line(case.id, 10.0), line(case.id, 20.0), line(case.id, 90.0)]
    alike = [line("another", 40.0)]
    same_model = [line("third", 50.0, environment="other")]
    same_environment = [line("fourth", 70.0, model="other")]
    assert times([*ours, *alike]).expected_s(case) == 20.0
    assert times([*alike, *same_model]).expected_s(case) == 40.0
    assert times([*same_model, *same_environment]).expected_s(case) == 50.0
    assert times(same_environment).expected_s(case) == 70.0
    assert Times([]).expected_s(case) == UNKNOWN_S


def test_ungraded_or_unreadable_records_are_ignored() -> None:
    case = make_case(model="m", environment="e")
    useless = [line(case.id, 5.0, "error"), line(case.id, 5.0, "skipped"), b'{"schema": 99}', b'{"cut', b""]
    assert times([*useless, line(case.id, 80.0)]).expected_s(case) == 80.0


def test_the_newest_runs_are_read(tmp_path: Path) -> None:
    case = make_case()
    for number, seconds in enumerate((1000.0, 20.0, 30.0, 40.0)):
        folder = tmp_path / f"2026010{number}T000000.000Z-default"
        folder.mkdir()
        (folder / "results.jsonl").write_bytes(line(case.id, seconds) + b"\n")
        os.utime(folder / "results.jsonl", (number, number))
    (tmp_path / "20260100T000000.000Z-default").rename(tmp_path / "slurm-7-merged")
    (tmp_path / "latest").symlink_to(folder.name)
    assert Times.of_runs(tmp_path, newest=3).expected_s(case) == 30.0
    assert Times.of_runs(tmp_path / "none").expected_s(case) == UNKNOWN_S


def test_workers_are_counted_by_gpus_cores_and_memory() -> None:
    machine = Machine(gpus=4, cpu_slots=1)
    assert workers([A] * 10 + [B] * 10, machine, cores=64, memory_gb=256) == 4
    assert workers([SHARED] * 100, machine, cores=64, memory_gb=256) == 8
    assert workers([A] * 10 + [None] * 3, machine, cores=64, memory_gb=256) == 7
    assert workers([None] * 100, machine, cores=8, memory_gb=256) == 16
    assert workers([None] * 100, machine, cores=8, memory_gb=6.5) == 6
    assert workers([A], Machine(gpus=0, cpu_slots=1), cores=1, memory_gb=0.1) == 1
    assert workers([], machine, cores=8, memory_gb=8) == 1


def test_the_variable_of_xdist_overrides_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    assert auto_workers([make_case(provider=REMOTE)]) == 1
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "7")
    assert auto_workers([make_case(provider=REMOTE)]) is None


def gpu(number: int, *processes: int) -> Gpu:
    return Gpu(uuid=f"GPU-{number}", index=number, name="fake", memory_mb=1, free_mb=1, processes=processes)


def test_gpus_are_counted_if_a_case_needs_one_and_nobody_else_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "inventory", lambda: (gpu(0), gpu(1, 4711), gpu(2)))
    assert this_machine([make_case()]).gpus == 2
    assert this_machine([make_case(gpus=0), make_case(provider=REMOTE)]).gpus == 0
    monkeypatch.setattr(machines, "inventory", lambda: (gpu(1, 4711),))
    assert this_machine([make_case()]).gpus == 1


def xdist_session(scheduling: type[Any]) -> Any:
    """Return an xdist session that has not handed out any test yet."""
    given = {"dist": "load", "tx": ["popen"], "loadscopereorder": True, "maxschedchunk": None}
    config = SimpleNamespace(getvalue=given.get, getoption=given.get, option=SimpleNamespace(**given))
    log = Producer("", enabled=False)
    session = SimpleNamespace(config=config, log=log, sched=scheduling(config, log))
    session.sched.add_node(object())
    return session


def test_our_scheduler_hands_out_cases_to_the_existing_workers() -> None:
    session = xdist_session(LoadScheduling)
    workers_before = session.sched.nodes
    take_over(session, [make_case()], Times([]), {})
    assert isinstance(session.sched, CaseScheduling)
    assert session.sched.nodes == workers_before


@pytest.mark.parametrize(
    "theirs",
    [
        EachScheduling,
        LoadScopeScheduling,
        LoadFileScheduling,
        WorkStealingScheduling,
        type("Another", (LoadScheduling,), {}),
    ],
)
def test_another_distribution_can_be_chosen(theirs: type[Any]) -> None:
    session = xdist_session(theirs)
    take_over(session, [make_case()], Times([]), {})
    assert type(session.sched) is theirs


def test_tests_that_share_a_session_are_a_group_unless_the_user_gave_them_one() -> None:
    session = xdist_session(LoadGroupScheduling)
    take_over(session, [make_case()], Times([]), {"t.py::a[c]": "c", "t.py::b[c]": "c", "t.py::a[c]@mine": "c.2"})
    scopes = [session.sched._split_scope(name) for name in ("t.py::a[c]", "t.py::b[c]", "t.py::a[c]@mine", "t.py::x")]
    assert scopes == ["c", "c", "mine", "t.py::x"]


def test_a_scheduler_that_may_separate_tests_of_a_session_is_refused() -> None:
    session = xdist_session(type("Another", (LoadScheduling,), {}))
    take_over(session, [make_case()], Times([]), {"t.py::a[c]": "c", "t.py::b[c]": "c.2"})
    with pytest.raises(pytest.UsageError, match="the scheduler Another may run them in different workers"):
        take_over(session, [make_case()], Times([]), {"t.py::a[c]": "c", "t.py::b[c]": "c"})


@pytest.mark.parametrize("theirs", [LoadGroupScheduling, LoadFileScheduling, type("Another", (LoadScheduling,), {})])
def test_a_scheduler_that_cannot_be_asked_for_further_replicates_is_refused(theirs: type[Any]) -> None:
    session = xdist_session(theirs)
    with pytest.raises(pytest.UsageError, match=f"--until-decided cannot .* the scheduler {theirs.__name__}"):
        take_over(session, [make_case()], Times([]), {}, next_round=list)


def test_a_shard_is_written_as_a_fraction() -> None:
    assert parse_shard("2/3") == Shard(2, 3)
    assert str(Shard(2, 3)) == "2/3"
    for text, said in (
        ("3", "write I/N"),
        ("0/3", "I goes from 1 to N"),
        ("4/3", "4/3"),
        ("a/b", "'a/b'"),
        ("1/0", "1/0"),
    ):
        with pytest.raises(ValueError, match=said):
            parse_shard(text)


PROVIDER = "name: local\nkind: llamacpp\nwires: [anthropic_messages]\n"
MODEL = "name: {name}\nprovider: local\nserver: {{file: weights.gguf}}\n"
SUITE = "name: mixed\nbackends: [claude]\nmodels: [one, two, scripted]\nenvironments: [small_maze]\nreplicates: 3\n"
TEST = """\
import os
import pytest

def note(name):
    with open("ran.txt", "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + " " + name + chr(10))

def test_first(case):
    note(case.id)
    assert case.replicate != int(os.environ.get("FAILS", 0))

@pytest.mark.parametrize("number", range(30))
def test_plain(number):
    note(f"plain {number}")
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("conf/provider/local.yaml", PROVIDER)
    for name in ("one", "two"):
        made.write(f"conf/model/{name}.yaml", MODEL.format(name=name))
    made.write("conf/suite/mixed.yaml", SUITE)
    made.write("test_cases.py", TEST)
    return made


def ran(project: Project) -> list[tuple[str, str]]:
    lines = (project.folder / "ran.txt").read_text().splitlines()
    return [(worker, name) for worker, _, name in (line.partition(" ") for line in lines)]


def test_a_real_session_keeps_models_on_a_worker_and_runs_everything_once(project: Project) -> None:
    done = project.pytest("--suite", "mixed", "-n", "auto", "--maxprocesses", "3", "-v", "test_cases.py")
    assert done.returncode == 0, done.stdout
    assert "scheduling tests via CaseScheduling" in done.stdout
    cases = [f"claude-{model}-small_maze-r{i}" for model in ("one", "two", "scripted") for i in (1, 2, 3)]
    assert Counter(name for _, name in ran(project)) == Counter([*cases, *(f"plain {i}" for i in range(30))])
    for model in ("one", "two"):
        assert len({worker for worker, name in ran(project) if f"-{model}-" in name}) == 1
    for worker in {worker for worker, _ in ran(project)}:
        models = [name.split("-")[1] for by, name in ran(project) if by == worker and name.startswith("claude-")]
        assert len(list(groupby(models))) == len(set(models))


def test_a_session_with_exitfirst_stops_at_a_failure(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILS", "1")
    done = project.pytest("--suite", "mixed", "--dist", "load", "--tx", "2*popen", "-x")
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "stopping after 1 failures" in done.stdout
    assert 1 <= len(ran(project)) < 9


def test_a_session_without_xdist_runs_as_usual(project: Project) -> None:
    done = project.pytest("--suite", "mixed", "-p", "no:xdist", "--collect-only", "-q")
    assert done.stdout.count("test_first[") == 9
