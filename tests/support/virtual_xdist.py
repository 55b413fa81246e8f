"""A run under xdist in virtual time: any xdist scheduler, simulated workers, and model servers on leased GPUs.

Workers behave like `xdist.remote`: they run a job once they know the next one, or know that there is none. The session
behaves like `xdist.dsession.DSession`: it clones crashed workers, and shuts down when the scheduler has handed out all
tests. Servers behave like `harness.servers`: a worker leaves its server after the last job in a row that needs it. For
the next one it joins a server with a free seat, starts one on free GPUs, or waits for GPUs.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from msgspec import Struct, field

from harness.case import ServerNeed


class Item(Struct, frozen=True):
    """A test: how long it takes, which server it needs, and how often it kills its worker before it passes."""

    nodeid: str
    seconds: float
    server: ServerNeed | None = None
    kills: int = 0


class Load(Struct, frozen=True):
    """A model loaded onto GPUs (or a CPU slot, which has no name)."""

    at: float
    key: str
    gpus: tuple[int, ...]


class Outcome(Struct):
    """The outcome of a run. `waited` are the seconds that workers spent waiting for a GPU or a slot."""

    makespan: float = 0.0
    ended: Counter[str] = field(default_factory=Counter)
    crashed: Counter[str] = field(default_factory=Counter)
    loads: list[Load] = field(default_factory=list)
    waited: float = 0.0
    most_gpus: int = 0
    orders: dict[str, list[str]] = field(default_factory=dict)


class _Leased(Struct, eq=False):
    need: ServerNeed
    gpus: tuple[int, ...]
    ready_at: float
    holders: int = 0


class VirtualRun:
    """One run, with `workers` workers at first.

    `make_scheduler` gets a configuration and a clock. `on_crash` gets the scheduler and the test that killed a worker.
    A worker takes `start_s` from its start to the end of its collection. `collected` is how many of the items it
    collects; it runs the others if it is given their numbers.
    """

    def __init__(
        self,
        items: Sequence[Item],
        make_scheduler: Callable[[Any, Callable[[], float]], Any],
        *,
        workers: int,
        gpus: int,
        cpu_slots: int = 1,
        load_s: float = 60.0,
        start_s: float = 1.0,
        collected: int | None = None,
        options: Mapping[str, Any] | None = None,
        on_crash: Callable[[Any, str], None] = lambda scheduler, nodeid: None,
    ) -> None:
        self.items = items
        self._collection = [item.nodeid for item in items[:collected]]
        self.now = 0.0
        self.outcome = Outcome()
        self.gpus, self.cpu_slots, self.load_s = gpus, cpu_slots, load_s
        self._start_s, self._on_crash = start_s, on_crash
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._servers: list[_Leased] = []
        self._waiting: deque[_Node] = deque()
        self._active: list[_Node] = []
        self._stopping = False
        self.tries = Counter[str]()
        given = {"tx": [f"{workers}*popen"], "maxschedchunk": None, "loadscopereorder": True, **(options or {})}
        self._session = SimpleNamespace(_max_worker_restart=given.get("max_worker_restart"), _failed_nodes_count=0)
        config = SimpleNamespace(
            getvalue=given.get,
            getoption=given.get,
            option=SimpleNamespace(**given),
            pluginmanager=SimpleNamespace(getplugin={"dsession": self._session}.get),
        )
        self.scheduler = make_scheduler(config, lambda: self.now)
        for _ in range(workers):
            self._add_node()

    def run(self) -> Outcome:
        """Run to the end. Raise `AssertionError` if nothing more can happen and workers still wait."""
        while self._events:
            self.now, _, happens = heapq.heappop(self._events)
            happens()
            if self.scheduler.tests_finished:
                self._stop()
        assert not self._active, f"deadlock at {self.now:g} s: {self._active} wait forever"
        return self.outcome

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Schedule something in the session after a number of seconds."""
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, happens))

    def acquire(self, node: _Node, need: ServerNeed) -> None:
        """Give the worker a seat as soon as there is one."""
        node.waits_since = self.now
        self._waiting.append(node)
        node.wants = need
        self._serve()

    def release(self, server: _Leased) -> None:
        """Leave a server. The last worker to leave stops it."""
        server.holders -= 1
        if not server.holders:
            self._servers.remove(server)
        self._serve()

    def _serve(self) -> None:
        for node in list(self._waiting):
            assert node.wants is not None
            server = self._server(node.wants)
            if server is not None:
                self._waiting.remove(node)
                server.holders += 1
                self.outcome.waited += self.now - node.waits_since
                node.seated(server)

    def _server(self, need: ServerNeed) -> _Leased | None:
        for server in self._servers:
            if server.need.key == need.key and server.holders < need.parallel:
                return server
        taken = {gpu for server in self._servers for gpu in server.gpus}
        free = [gpu for gpu in range(self.gpus) if gpu not in taken]
        slots = self.cpu_slots - sum(not server.need.gpus for server in self._servers)
        if len(free) < need.gpus or (not need.gpus and not slots):
            return None
        server = _Leased(need, tuple(free[: need.gpus]), self.now + self.load_s)
        self._servers.append(server)
        self.outcome.loads.append(Load(self.now, need.key, server.gpus))
        self.outcome.most_gpus = max(self.outcome.most_gpus, len(taken) + need.gpus)
        return server

    def can_serve(self, need: ServerNeed) -> bool:
        """Return whether such a server can ever run. If it cannot, its cases are skipped."""
        return need.gpus <= self.gpus and (need.gpus > 0 or self.cpu_slots > 0)

    def ended(self, node: _Node, index: int, seconds: float) -> None:
        """Report a test that a worker has run to its end."""
        self.outcome.ended[self.items[index].nodeid] += 1
        self.outcome.makespan = max(self.outcome.makespan, self.now)
        self.scheduler.mark_test_complete(node, index, seconds)

    def finished(self, node: _Node) -> None:
        """Report that a worker has ended its session."""
        if node in self.scheduler.nodes:
            assert self.scheduler.remove_node(node) is None
        self._active.remove(node)

    def crashed(self, node: _Node, index: int) -> None:
        """Report that a test has killed a worker. A clone replaces it."""
        nodeid = self.items[index].nodeid
        self.outcome.crashed[nodeid] += 1
        crashitem = self.scheduler.remove_node(node)
        assert crashitem == nodeid
        self._on_crash(self.scheduler, nodeid)
        self._session._failed_nodes_count += 1
        most = self._session._max_worker_restart
        if most is None or self._session._failed_nodes_count <= most:
            self._stopping = False
            self._add_node()
        else:
            self._stop()
        self._active.remove(node)

    def unscheduled(self, node: _Node, indices: list[int]) -> None:
        """Report that a worker gives stolen tests back."""
        self.scheduler.remove_pending_tests_from_node(node, indices)

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            for node in self.scheduler.nodes:
                node.shutdown()

    def _add_node(self) -> None:
        node = _Node(self, f"gw{len(self.outcome.orders)}")
        self.outcome.orders[node.gateway.id] = node.order
        self._active.append(node)
        self.after(self._start_s / 2, lambda: self._ready(node))

    def _ready(self, node: _Node) -> None:
        if self._stopping:
            node.shutdown()
        else:
            self.scheduler.add_node(node)
        self.after(self._start_s / 2, lambda: self._collected(node))

    def _collected(self, node: _Node) -> None:
        if not self._stopping:
            self.scheduler.add_node_collection(node, list(self._collection))
            if self.scheduler.collection_is_completed:
                self.scheduler.schedule()
        node.collected = True
        node.go_on()


class _Node:
    """A stand-in for `xdist.workermanage.WorkerController` and the worker behind it."""

    def __init__(self, run: VirtualRun, name: str) -> None:
        self.gateway = SimpleNamespace(id=name, spec=None)
        self.order: list[str] = []
        self.shutting_down = False
        self.collected = False
        self.waits_since = 0.0
        self.wants: ServerNeed | None = None
        self._run = run
        self._queue: deque[int] = deque()
        self._item: int | None = None
        self._next: int | None = None
        self._busy = False
        self._over = False
        self._server: _Leased | None = None

    def __repr__(self) -> str:
        return f"<{self.gateway.id}>"

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        assert not self.shutting_down, "a stopping worker was given more tests"
        self._queue.extend(indices)
        self._run.after(0, self.go_on)

    def send_steal(self, indices: Sequence[int]) -> None:
        wanted = set(indices)
        stolen = [index for index in self._queue if index in wanted]
        if len(stolen) == len(wanted):
            self._queue = deque(index for index in self._queue if index not in wanted)
        else:
            stolen = []
        self._run.after(0, lambda: self._run.unscheduled(self, stolen))

    def shutdown(self) -> None:
        self.shutting_down = True
        self._run.after(0, self.go_on)

    def go_on(self) -> None:
        """Run the main loop of a worker as far as possible."""
        if self._busy or self._over or not self.collected:
            return
        if self._item is None and self._queue:
            self._item = self._queue.popleft()
        if self._item is None:
            if self.shutting_down:
                self._over = True
                self._run.after(0, lambda: self._run.finished(self))
            return
        if not self._queue and not self.shutting_down:
            return
        self._busy = True
        self._next = self._queue.popleft() if self._queue else None
        need = self._need(self._item)
        if need is None or self._server is not None:
            self._begin(0.0)
        else:
            self._run.acquire(self, need)

    def seated(self, server: _Leased) -> None:
        """Continue with the seat that the worker got."""
        self._server, self.wants = server, None
        self._begin(max(0.0, server.ready_at - self._run.now))

    def _need(self, index: int | None) -> ServerNeed | None:
        need = None if index is None else self._run.items[index].server
        return need if need and self._run.can_serve(need) else None

    def _begin(self, load_s: float) -> None:
        assert self._item is not None
        item = self._run.items[self._item]
        self.order.append(item.nodeid)
        self._run.tries[item.nodeid] += 1
        if self._run.tries[item.nodeid] <= item.kills:
            self._run.after(load_s + item.seconds / 2, self._die)
        else:
            self._run.after(load_s + item.seconds, self._end)

    def _end(self) -> None:
        index, self._item, self._next = self._item, self._next, None
        assert index is not None
        if self._server is not None and self._need(self._item) != self._server.need:
            self._leave()
        self._busy = False
        self._run.ended(self, index, self._run.items[index].seconds)
        self.go_on()

    def _die(self) -> None:
        assert self._item is not None
        self._over = True
        self.shutting_down = True
        if self._server is not None:
            self._leave()
        self._run.crashed(self, self._item)

    def _leave(self) -> None:
        server, self._server = self._server, None
        assert server is not None
        self._run.release(server)
