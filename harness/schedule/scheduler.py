"""Decides which xdist worker runs what: the planner (`harness.schedule.planner`) as a scheduler of xdist.

It is used only with `-n N` and `--dist load`. With another `--dist`, and in a session without cases, xdist's own
scheduler is used. With `--dist loadgroup`, tests that share a session are a group.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest
from _pytest.junitxml import xml_key
from msgspec import Struct
from xdist.remote import Producer  # type: ignore[import-untyped]  # xdist publishes no types
from xdist.scheduler import LoadGroupScheduling, LoadScheduling  # type: ignore[import-untyped]  # likewise
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]  # likewise

from harness.case import Case, ServerNeed
from harness.case_folder import case_in
from harness.further import FurtherTest, Numbering
from harness.node_ids import parameters_of
from harness.results.times import Times
from harness.schedule.machine import this_machine
from harness.schedule.planner import Job, Machine, Planner

NextRound = Callable[[], Sequence[FurtherTest]]
"""Returns the tests of further replicates that run next, once all others have run. If it returns none, none follow."""

RERUN = "rerun"
"""The outcome of a report about a case that killed its worker and is run once more."""


class Demand(Struct, frozen=True):
    """What a case needs: its expected seconds, and a server."""

    seconds: float
    server: ServerNeed | None = None


def take_over(
    session: Any,
    cases: Sequence[Case],
    times: Times,
    folders: Mapping[str, str],
    next_round: NextRound | None = None,
) -> None:
    """Take over the distribution of tests to workers, before any test is given out.

    `session` is xdist's `DSession`. `folders` maps each test that uses a session to the session's folder. If the user
    or another plugin chose a distribution other than `load` and `loadgroup`, it stays. Raise `pytest.UsageError` if a
    plugin replaces one of these two and tests share a session, or if `next_round` is given and cannot be asked.
    """
    scheduling: CaseScheduling | GroupScheduling
    if type(session.sched) is LoadScheduling:
        demands = {case.id: Demand(times.expected_s(case), case.server) for case in cases}
        scheduling = CaseScheduling(
            session.config, session.log, demands, this_machine(cases), folders, next_round=next_round
        )
    elif next_round is not None:
        raise pytest.UsageError(
            f"--until-decided cannot add replicates, because a plugin chose the scheduler "
            f"{type(session.sched).__name__}: run without -n, or without that plugin"
        )
    elif type(session.sched) is LoadGroupScheduling:
        scheduling = GroupScheduling(session.config, session.log, folders)
    else:
        if session.config.getoption("dist") in {"load", "loadgroup"} and len(set(folders.values())) < len(folders):
            raise pytest.UsageError(
                f"the tests of a case share a session, but the scheduler {type(session.sched).__name__} may run them "
                "in different workers: run without -n, or mark the tests with @pytest.mark.fresh_session"
            )
        return
    for node in session.sched.nodes:
        scheduling.add_node(node)
    session.sched = scheduling


def handle_crash(scheduler: object, nodeid: str, report: pytest.TestReport, *, recorded: bool) -> str | None:
    """Decide what happens to a test that killed its worker. `recorded` is true if its record was written before.

    A case runs once more, and the report becomes a note (`RERUN`). If it may not run again, the report becomes an
    error, and the return value is the explanation for the record. In all other cases the report stays as xdist made it.
    """
    case = scheduler.case_id(nodeid) if isinstance(scheduler, CaseScheduling) else None
    if not isinstance(scheduler, CaseScheduling) or case is None:
        return None
    file, _, test = nodeid.partition("::")
    report.location = (file, None, test)
    if recorded:
        report.when = "teardown"
        scheduler.give_up(nodeid)
        return None
    worker = report.node.gateway.id
    try:
        scheduler.run_again(nodeid)
    except NotAgainError as error:
        report.when = "setup"
        report.longrepr = f"{error} (the last one: {worker})"
        return str(error)
    report.outcome = RERUN  # type: ignore[assignment]  # xdist's documentation of this hook does the same
    report.longrepr = f"{nodeid} killed its worker {worker} and is run once more"
    scheduler.tell(report)
    return None


class NotAgainError(Exception):
    """A case that killed its worker does not run again. The message says why."""


class GroupScheduling(LoadGroupScheduling):  # type: ignore[misc]  # xdist publishes no types
    """The scheduler of `--dist loadgroup`. Tests that share a session are a group, unless the user made another one."""

    def __init__(self, config: pytest.Config, log: Producer | None, folders: Mapping[str, str]) -> None:
        super().__init__(config, log)
        self._folders = folders

    def _split_scope(self, nodeid: str) -> str:
        group: str = super()._split_scope(nodeid)
        return self._folders.get(nodeid, nodeid) if group == nodeid else group


class CaseScheduling:
    """Gives each worker a test to run and the next one, as the planner decides.

    `demands` maps the ids of cases to what they need. `folders` maps each test that uses a session to the session's
    folder. The tests that share one are given to the same worker, as one job. A test without a session belongs to a
    case if the case is its only parameter. Other tests are given out last, in order and in batches, as `load` does. If
    there are no cases at all, `load` does everything.

    With `next_round`, a worker that has nothing to run does not stop. It waits in the pause, a test of its own, until
    all workers have run their tests, and the next round is known.
    """

    def __init__(
        self,
        config: pytest.Config,
        log: Producer | None,
        demands: Mapping[str, Demand],
        machine: Machine,
        folders: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        next_round: NextRound | None = None,
    ) -> None:
        self._config = config
        self._load = LoadScheduling(config, log)
        self._demands = dict(demands)
        self._machine = machine
        self._folders = dict(folders or {})
        self._next_round = next_round
        self._units: dict[int, list[int]] = {}
        self._crashed: dict[str, list[int]] = {}
        self._clock = clock
        self._planner: Planner | None = None
        self._nodeids: dict[int, str] = {}
        self._pause = 0
        self._pending: dict[WorkerController, list[int]] = self._load.node2pending
        self._plain_left = 0
        self._kills = Counter[str]()

    @property
    def nodes(self) -> list[WorkerController]:
        """The workers that are running."""
        return list(self._pending)

    @property
    def collection_is_completed(self) -> bool:
        """Whether as many workers have collected their tests as there were at the start."""
        return bool(self._load.collection_is_completed)

    @property
    def tests_finished(self) -> bool:
        """Whether every worker has all tests that it will run. Then all workers can be told to stop."""
        if self._planner is None:
            return bool(self._load.tests_finished)
        over = self._next_round is None and not self._planner.left
        return over and all(len(self._tests_of(node)) < 2 for node in self._pending)

    @property
    def has_pending(self) -> bool:
        """Whether there is anything left to run."""
        if self._planner is None:
            return bool(self._load.has_pending)
        return bool(self._planner.left) or any(map(self._tests_of, self._pending))

    def add_node(self, node: WorkerController) -> None:
        """Add a worker that has started."""
        self._load.add_node(node)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Note what a worker has collected. A worker that started while the session was stopping is ignored."""
        if node in self._pending:
            self._load.add_node_collection(node, collection)

    def schedule(self) -> None:
        """Begin when all workers have collected. Later, take in a worker that replaces one that crashed."""
        if self._load.collection is None and self._has_cases():
            if not self._load._check_nodes_have_same_collection():  # xdist reports the difference, and nothing runs
                return
            self._load.collection = collection = next(iter(self._load.node2collection.values()))
            self._nodeids = dict(enumerate(collection))
            self._pause = Numbering(len(collection)).pause
            self._plain_left = sum(self.case_id(nodeid) is None for nodeid in collection)
            self._planner = Planner(self._jobs(self._nodeids), self._machine, clock=self._clock)
        if self._planner is None:
            self._load.schedule()
        else:
            self._fill(self._planner)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Note that a worker has finished a test."""
        if self._planner is None:
            self._load.mark_test_complete(node, item_index, duration)
            return
        self._pending[node].remove(item_index)
        if item_index != self._pause and item_index == self._units[item_index][-1]:
            self._planner.done(node.gateway.id, self._units[item_index][0])
        self._fill(self._planner)

    def mark_test_pending(self, item: str) -> None:
        """Note that a test is to be run again."""
        if self._planner is None:
            self._load.mark_test_pending(item)
            return
        index = next(index for index, nodeid in self._nodeids.items() if nodeid == item)
        self._add(self._planner, self._crashed.pop(item, [index]))

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        """Do nothing. xdist does not call this, because workers do not take tests from one another."""
        raise NotImplementedError

    def remove_node(self, node: WorkerController) -> str | None:
        """Remove a worker that is gone. Return the test that it was running, if any.

        The tests that it had not begun are given to other workers. Those that share the session of the test that was
        running wait until `run_again` or `give_up` is called for it.
        """
        if self._planner is None:
            crashed: str | None = self._load.remove_node(node)
            return crashed
        pending = self._tests_of(node)
        del self._pending[node]
        job = self._planner.lose(node.gateway.id) if self._planner.knows(node.gateway.id) else None
        nodeid = None if job is None else self._nodeids[pending[0]]
        if nodeid is not None and self.case_id(nodeid) is not None:
            unit = self._units[pending[0]]
            self._crashed[nodeid] = unit[unit.index(pending[0]) :]
        self._fill(self._planner)
        return nodeid

    def case_id(self, nodeid: str) -> str | None:
        """Return the id of the case that a test runs for, or `None`."""
        if nodeid in self._folders:
            return case_in(self._folders[nodeid], self._demands)
        parameters = parameters_of(nodeid)
        return parameters if parameters in self._demands else None

    def run_again(self, nodeid: str) -> None:
        """Run a case once more after it killed its worker. Raise `NotAgainError` if it may not run again."""
        session = self._folders.get(nodeid, nodeid)
        self._kills[session] += 1
        if self._kills[session] > 1:
            self.give_up(nodeid)
            raise NotAgainError("killed its worker twice")
        if self._no_more_workers():
            self.give_up(nodeid)
            raise NotAgainError("killed its worker, and no more workers are started (--max-worker-restart)")
        self.mark_test_pending(nodeid)

    def give_up(self, nodeid: str) -> None:
        """Do not run a test again that killed its worker. The tests that share its session run in another worker."""
        _, *rest = self._crashed.pop(nodeid, [0])
        if self._planner is not None and rest:
            self._add(self._planner, rest)

    def tell(self, note: pytest.TestReport) -> None:
        """Show the user a note, unless -q is given, and keep its test out of a JUnit file."""
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        if isinstance(terminal, pytest.TerminalReporter) and self._config.option.verbose >= 0:
            terminal.write_line(f"\n{note.longrepr}")
        junit = self._config.stash.get(xml_key, None)
        if junit is not None:  # otherwise the file has a test without a name for the time in the killed worker
            junit.node_reporters_ordered.remove(junit.node_reporter(note))

    def _has_cases(self) -> bool:
        return any(map(self.case_id, next(iter(self._load.node2collection.values()))))

    def _tests_of(self, node: WorkerController) -> list[int]:
        """Return the tests that a worker has been given and has not finished, without the pause."""
        return [index for index in self._pending[node] if index != self._pause or self._planner is None]

    def _jobs(self, indices: Iterable[int]) -> list[Job]:
        """Return the jobs for these tests. Those that share a session are one job."""
        units: dict[str | int, list[int]] = {}
        for index in indices:
            units.setdefault(self._folders.get(self._nodeids[index], index), []).append(index)
        return [self._job(unit) for unit in units.values()]

    def _job(self, unit: list[int]) -> Job:
        """Return the job that runs these tests one after the other in one worker."""
        for index in unit:
            self._units[index] = unit
        case = self.case_id(self._nodeids[unit[0]])
        if case is None:
            return Job(unit[0], 0.0)
        return Job(unit[0], self._demands[case].seconds, self._demands[case].server)

    def _add(self, planner: Planner, unit: list[int]) -> None:
        """Have these tests run one after the other in one worker."""
        planner.give_back(self._job(unit))
        self._fill(planner)

    def _no_more_workers(self) -> bool:
        """Return whether xdist ends the session instead of replacing the worker that crashed."""
        session: Any = self._config.pluginmanager.getplugin("dsession")
        most: int | None = session._max_worker_restart
        return most is not None and session._failed_nodes_count >= most

    def _fill(self, planner: Planner) -> None:
        """Give every worker a test, then give every worker its next one."""
        ready = [node for node in self._pending if node in self._load.node2collection]
        for node in ready:
            if not planner.knows(node.gateway.id):
                planner.add(node.gateway.id)
            if node.shutting_down:
                planner.retire(node.gateway.id)
        going_on = [node for node in ready if not node.shutting_down]
        if self._next_round is not None and going_on and not self.has_pending and not self._crashed:
            self._begin_round(planner, self._next_round)
        for has in (0, 1):
            for node in going_on:
                if len(self._tests_of(node)) == has:
                    self._give(planner, node)

    def _begin_round(self, planner: Planner, next_round: NextRound) -> None:
        """Have the tests of the next round run. If there are none, the session ends."""
        tests = next_round()
        if not tests:
            self._next_round = None
        for test in tests:
            self._demands[test.case.id] = self._demands[case_in(self._folders[self._nodeids[test.like]], self._demands)]
            self._folders[test.nodeid] = test.folder
            self._nodeids[test.number] = test.nodeid
        for job in self._jobs(test.number for test in tests):
            planner.give_back(job)

    def _give(self, planner: Planner, node: WorkerController) -> None:
        batch: list[int] = []
        most = 1
        while len(batch) < most and (job := planner.next(node.gateway.id)) is not None:
            batch += self._units[job.index]
            if self.case_id(self._nodeids[job.index]) is None:
                most = self._batch()
                self._plain_left -= 1
        if batch:
            self._pending[node].extend(batch)
            node.send_runtest_some(batch)
        elif self._pending[node] and self._next_round is None:
            planner.retire(node.gateway.id)
            node.shutdown()
        elif self._tests_of(node) and self._pending[node][-1] != self._pause:
            self._pending[node].append(self._pause)
            node.send_runtest_some([self._pause])

    def _batch(self) -> int:
        """Return how many tests without a case a worker gets at a time.

        It is as many as with `load`, and fewer towards the end.
        """
        size = self._plain_left // len(self._pending) // 4
        return max(1, min(size, self._load.maxschedchunk or size))
