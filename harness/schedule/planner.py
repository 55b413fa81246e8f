"""Decides which worker runs which job next, so that models are loaded as few times as possible. It has no effects.

Jobs that need the same model server form a group. A worker stays with its group while the group has work. Then it
starts the largest group that no worker serves and that fits on the machine. If there is none, it takes a seat at a
running server, or a job that needs no server. If there is none of these either, a group gets one more server, but only
if that saves more time than the load costs.

A worker learns its next job while it still runs the one before, because xdist's workers run a job once they know the
next. So a server that no worker will continue to use can be promised to a successor, which gets its GPUs when its last
job is done. A worker gets the job that would fall to it if each job, the longest first, went to the worker that is free
first. In this way a short job does not wait behind a long one while other workers have nothing to do.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heapreplace

from msgspec import Struct, field

from harness.case import ServerNeed

LOAD_S = 60.0
"""Seconds that the load of a model is assumed to take."""

_DOUBT = 1
"""How many imaginary jobs, which took as long as expected, count with the finished ones in `_Pool.pace`."""


class Job(Struct, frozen=True):
    """A job to run: the index of its first test, the seconds that it is expected to take, and the server that it needs.

    A job of 0 seconds is too short to plan. Such jobs are given out in order, to workers that have nothing longer to
    do.
    """

    index: int
    seconds: float
    server: ServerNeed | None = None


class Machine(Struct, frozen=True):
    """The number of GPUs, and how many model servers can run on the CPU at the same time."""

    gpus: int
    cpu_slots: int

    def has_room(self, need: ServerNeed) -> bool:
        """Return whether such a server can ever run here."""
        return need.gpus <= self.gpus and (need.gpus > 0 or self.cpu_slots > 0)


class _Pool:
    """Jobs that have not been given to a worker yet, and how long the finished jobs were expected to take and took."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []  # the longest last
        self._left_s = self._expected_s = self._took_s = 0.0
        self._done = 0

    def add(self, job: Job) -> None:
        insort(self.jobs, job, key=_order)
        self._left_s += job.seconds

    def take(self, job: Job) -> None:
        del self.jobs[bisect_left(self.jobs, _order(job), key=_order)]
        self._left_s = self._left_s - job.seconds if self.jobs else 0.0

    def learn(self, job: Job, took_s: float) -> None:
        self._expected_s += job.seconds
        self._took_s += took_s
        self._done += 1

    @property
    def pace(self) -> float:
        """The factor by which jobs take longer than expected.

        It comes from the finished jobs, and from `_DOUBT` imaginary jobs that took as long as expected.
        """
        if not self._done:
            return 1.0
        few_s = _DOUBT * self._expected_s / self._done
        return (self._took_s + few_s) / (self._expected_s + few_s) if few_s else 1.0

    @property
    def work_s(self) -> float:
        """The seconds that all jobs of the pool will take at this pace."""
        return self._left_s * self.pace


class _Group(_Pool):
    """The jobs that need the same server."""

    def __init__(self, need: ServerNeed) -> None:
        super().__init__()
        self.need = need


class _PlannedServer(Struct, eq=False):
    """A server in the plan. `jobs` has one entry, its worker, for each unfinished job on the server.

    `successor_of` are the servers whose GPUs it waits for.
    """

    group: _Group
    successor_of: list[_PlannedServer]
    jobs: list[_Worker] = field(default_factory=list)

    @property
    def need(self) -> ServerNeed:
        return self.group.need

    @property
    def amount(self) -> int:
        return self.need.gpus or 1

    @property
    def users(self) -> int:
        return len({id(worker) for worker in self.jobs})


class _Given(Struct):
    """A job that a worker has been given, the pool that it came from, and the server that it will run on."""

    job: Job
    pool: _Pool
    server: _PlannedServer | None


class _Worker(Struct, eq=False):
    """The unfinished jobs of a worker, and when the first of them began (`since`).

    `goes_on` is false if the worker stops after them. `left` are the groups that it has left. It does not load a model
    for one of them again while others serve the group.
    """

    given: deque[_Given] = field(default_factory=deque)
    left: list[_Group] = field(default_factory=list)
    since: float = 0.0
    goes_on: bool = True

    @property
    def last(self) -> _PlannedServer | None:
        """The server of the last job that the worker has been given."""
        return self.given[-1].server if self.given else None


class Planner:
    """Gives out each job once. It is deterministic: the same calls at the same times give the same answers."""

    def __init__(
        self,
        jobs: Iterable[Job],
        machine: Machine,
        *,
        load_s: float = LOAD_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._machine = machine
        self._load_s = load_s
        self._clock = clock
        self._free_jobs = _Pool()
        self._groups: dict[str, _Group] = {}
        self._servers: list[_PlannedServer] = []
        self._workers: dict[str, _Worker] = {}
        self._spreads = Counter[bool]()
        for job in jobs:
            self.give_back(job)

    @property
    def left(self) -> int:
        """How many jobs have not been given to a worker yet."""
        return len(self._free_jobs.jobs) + sum(len(group.jobs) for group in self._groups.values())

    def add(self, name: str) -> None:
        """Add a worker that is ready."""
        self._workers[name] = _Worker()

    def knows(self, name: str) -> bool:
        """Return whether the worker was added and is not lost."""
        return name in self._workers

    def next(self, name: str) -> Job | None:
        """Give the worker its next job and return it, or return `None` if there is none for it now.

        A worker that has a job and gets no other must be told to stop after it (`retire`). Otherwise it would not even
        run that one. For a worker without a job, this can be called again after any change.
        """
        worker = self._workers[name]
        server = self._choose(worker)
        pool = self._free_jobs if server is None else server.group
        job = self._share(worker, pool)
        if job is None:
            return None
        pool.take(job)
        if not worker.given:
            worker.since = self._clock()
        if worker.last is not None and worker.last is not server:
            worker.left.append(worker.last.group)
        worker.given.append(_Given(job, pool, server))
        if server is not None:
            server.jobs.append(worker)
        return job

    def done(self, name: str, index: int) -> None:
        """Note that the worker has finished a job."""
        worker = self._workers[name]
        given = next(given for given in worker.given if given.job.index == index)
        worker.given.remove(given)
        now = self._clock()
        given.pool.learn(given.job, now - worker.since)
        worker.since = now
        self._leave(worker, given)

    def retire(self, name: str) -> None:
        """Note that the worker will run what it has been given, and then stop."""
        self._workers[name].goes_on = False

    def lose(self, name: str) -> Job | None:
        """Remove a worker that is gone. Return the job that it was running, and take back the rest of its jobs."""
        worker = self._workers.pop(name)
        for number, given in enumerate(worker.given):
            self._leave(worker, given)
            if number:
                given.pool.add(given.job)
        return worker.given[0].job if worker.given else None

    def give_back(self, job: Job) -> None:
        """Add a job that is to be run, for the first time or again."""
        if job.server is None or not self._machine.has_room(job.server):
            self._free_jobs.add(job)  # a job that fits nowhere is skipped as soon as it runs
        else:
            self._groups.setdefault(job.server.key, _Group(job.server)).add(job)

    def _leave(self, worker: _Worker, given: _Given) -> None:
        if given.server is not None:
            given.server.jobs.remove(worker)
            if not given.server.jobs:
                self._servers.remove(given.server)

    def _choose(self, worker: _Worker) -> _PlannedServer | None:
        """Return the server for which the worker takes its next job.

        `None` means a job that needs no server, if there is one.
        """
        mine = worker.last
        if mine is not None and self._share(worker, mine.group) is not None:
            return mine
        server = self._start(worker) or self._seat(worker) or self._spread(worker)
        if server is None and not self._free_jobs.jobs and worker.given and self._going_on() == [worker]:
            for group in self._unserved():  # no other worker is left to run it: wait until there is room
                return self._enter(group, [])
        return server

    def _share(self, worker: _Worker, pool: _Pool) -> Job | None:
        """Return the job of the pool that falls to the worker, or `None`.

        This assumes that each worker on the pool takes the longest job as soon as it is free.
        """
        others = [other for other in self._sitters(pool) if other is not worker]
        ends = [(self._end(worker), 0), *((self._end(other), 1) for other in others)]
        heapify(ends)
        for job in reversed(pool.jobs):
            end, is_other = ends[0]
            if not is_other or job.seconds == 0.0:
                return job
            heapreplace(ends, (end + job.seconds * pool.pace, is_other))
        return None

    def _end(self, worker: _Worker) -> float:
        """Return when the worker will have done its jobs. A job that should have ended already is taken to end now."""
        now = self._clock()
        seconds = [given.job.seconds * given.pool.pace for given in worker.given]
        return max(now, worker.since + seconds[0]) + sum(seconds[1:]) if seconds else now

    def _start(self, worker: _Worker) -> _PlannedServer | None:
        """Return a server for the first group that no worker serves and that has room, or `None`."""
        for group in self._unserved():
            taken_over = self._room(worker, group)
            if taken_over is not None:
                return self._enter(group, taken_over)
        return None

    def _enter(self, group: _Group, taken_over: list[_PlannedServer]) -> _PlannedServer:
        self._servers.append(_PlannedServer(group, taken_over))
        return self._servers[-1]

    def _going_on(self) -> list[_Worker]:
        return [worker for worker in self._workers.values() if worker.goes_on]

    def _sitters(self, pool: _Pool) -> list[_Worker]:
        """Return the workers that will continue with the pool."""
        return [worker for worker in self._going_on() if worker.given and worker.given[-1].pool is pool]

    def _unserved(self) -> list[_Group]:
        """Return the groups that no worker will continue with: those with the most GPUs first, then the longest."""
        groups = [group for group in self._groups.values() if group.jobs and not self._sitters(group)]
        return sorted(groups, key=lambda group: (-group.need.gpus, -group.work_s / group.need.parallel))

    def _seat(self, worker: _Worker) -> _PlannedServer | None:
        """Return a running server that can take one more worker, or `None`.

        If there are several, it is the one whose group has the most work for each of its workers.
        """
        servers = [
            server
            for server in self._servers
            if server.users < server.need.parallel and self._share(worker, server.group) is not None
        ]
        return max(servers, key=lambda s: s.group.work_s / max(1, len(self._sitters(s.group))), default=None)

    def _spread(self, worker: _Worker) -> _PlannedServer | None:
        """Return one more server for the group that would end last, if that saves more time than the load costs.

        With work R on s workers, a group ends after R / s. With one more worker it ends after about (R + load) / (s +
        1). While there is other work that needs no load, a group is spread only if it would end after all of that work.
        The number of extra servers is at most one less than the number of machines, which is enough to share out all
        groups evenly (McNaughton 1959).
        """
        groups = [group for group in self._groups.values() if group.jobs and self._sitters(group)]
        groups = [group for group in groups if group not in worker.left]  # no worker loads a model twice
        groups.sort(key=lambda group: -group.work_s / len(self._sitters(group)))
        work_s = sum(group.work_s for group in groups) + self._free_jobs.work_s
        for group in groups:
            sitters = len(self._sitters(group))
            alone_s = group.work_s / sitters
            if alone_s - (group.work_s + self._load_s) / (sitters + 1) <= self._load_s:
                continue
            if self._free_jobs.jobs and alone_s - self._load_s <= work_s / len(self._going_on()):
                continue
            taken_over = self._room(worker, group)
            on_gpu = bool(group.need.gpus)
            most = min(self._slots(group.need), len(self._workers)) - 1
            if taken_over is not None and self._spreads[on_gpu] < most and self._share(worker, group) is not None:
                self._spreads[on_gpu] += 1
                return self._enter(group, taken_over)
        return None

    def _room(self, worker: _Worker, group: _Group) -> list[_PlannedServer] | None:
        """Return the servers that a new server of the group replaces, or `None` if the worker cannot start it now.

        The worker's own last server is replaced if no worker will continue with it. A group that needs several GPUs
        also replaces other servers that are being left. A group that needs one GPU does not, because it would only wait
        for another worker. A worker without a job starts only what fits at once, because it can wait without keeping a
        job from others.
        """
        need = group.need
        short = (need.gpus or 1) - self._unused(need)
        leaving = sorted(self._leaving(need), key=lambda server: server is not worker.last) if worker.given else []
        taken_over = []
        for server in leaving:
            mine = server is worker.last
            if (mine and server.users == 1) or (short > 0 and (mine or need.gpus > 1)):
                taken_over.append(server)
                short -= server.amount
        return taken_over if short <= 0 else None

    def _unused(self, need: ServerNeed) -> int:
        """Return how many GPUs (or CPU slots, if the server needs one) are neither in use nor promised."""
        servers = [server for server in self._servers if bool(server.need.gpus) == bool(need.gpus)]
        passed_on = sum(
            min(server.amount, sum(old.amount for old in server.successor_of if old.jobs)) for server in servers
        )
        return self._slots(need) - sum(server.amount for server in servers) + passed_on

    def _slots(self, need: ServerNeed) -> int:
        return self._machine.gpus if need.gpus else self._machine.cpu_slots

    def _leaving(self, need: ServerNeed) -> Iterator[_PlannedServer]:
        """Yield the servers that no worker will continue with, and whose place is not promised yet."""
        promised = [old for server in self._servers for old in server.successor_of]
        for server in self._servers:
            stays = server.group.jobs and any(worker.last is server for worker in self._going_on())
            if bool(server.need.gpus) == bool(need.gpus) and not stays and server not in promised:
                yield server


def _order(job: Job) -> tuple[float, int]:
    return job.seconds, -job.index
