"""Whatever the CLI, model and machine do, a session ends in time, at the first event that exceeds a limit."""

from __future__ import annotations

import io
import math

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.agent.driver import Drive
from harness.agent.watchdog import Stop
from harness.case import Limits
from harness.endings import Ending
from harness.gateway.ledger import RequestFailure, Waiting
from harness.sandbox.base import Resources
from tests.support.fakes import FakeBox, FakeClock, FakeTraffic, fake_backend

LIMITS = Limits(
    turns=None,
    wall_s=60,
    idle_s=20,
    output_mb=0.0005,
    memory_mb=10,
    processes=5,
    disk_mb=10,
    first_byte_s=15,
    stalled_s=5,
    after_final_s=3,
    empty_turns=3,
    compactions=3,
    failed_requests=3,
    grace_s=3,
)
LOOK_S = 0.1
WORDS = st.sampled_from([b"turn", b"empty", b"call", b"compaction", b"final", b"noise", b"long " + b"x" * 60])


class SessionMachine(RuleBasedStateMachine):
    """Drives a session and keeps its own record of it. `due` returns the endings that this record allows."""

    @initialize(heeds_after=st.sampled_from([0.0, 0.5, 2.0, None]))
    def begin(self, heeds_after: float | None) -> None:
        self.clock, self.traffic = FakeClock(), FakeTraffic()
        self.box = FakeBox(self.clock, heeds_after)
        self.drive = Drive(self.box, fake_backend(), "prompt", LIMITS, self.traffic, io.BytesIO(), self.clock)
        self.drive.__enter__()
        self.running, self.exited, self.interrupted = True, False, False
        self.over_at = math.inf
        self.written = 0
        self.last_write = 0.0
        self.empty = self.compactions = 0
        self.finished = False

    @precondition(lambda self: self.running)
    @rule(words=st.lists(WORDS, min_size=1, max_size=3))
    def the_cli_writes(self, words: list[bytes]) -> None:
        if self.exited:
            return
        data = b"\n".join(words) + b"\n"
        self.box.write(data)
        self.written += len(data)
        self.last_write = self.clock.time
        for word in words:
            if word in {b"turn", b"empty", b"call"}:
                self.empty = self.empty + 1 if word == b"empty" else 0
                self.finished = False
            if word == b"call":
                self.compactions = 0
            self.compactions += word == b"compaction"
            self.finished = self.finished or word == b"final"
        self.step()

    @precondition(lambda self: self.running)
    @rule(begun=st.booleans())
    def a_request_is_open(self, begun: bool) -> None:
        self.traffic.waiting.append(Waiting(self.clock.time, begun))
        self.traffic.last_activity = self.clock.time
        self.step()

    @precondition(lambda self: self.running and self.traffic.waiting)
    @rule(well=st.booleans(), status=st.sampled_from([500, 429, 502]))
    def a_request_ends(self, well: bool, status: int) -> None:
        self.traffic.waiting.pop(0)
        self.traffic.last_activity = self.clock.time
        self.traffic.failures = 0 if well else self.traffic.failures + 1
        self.traffic.last_failure = self.traffic.last_failure if well else RequestFailure(status, "it failed")
        self.step()

    @precondition(lambda self: self.running and self.clock.time > 3)
    @rule(limit=st.sampled_from(["turn_limit", "token_limit", "cost_limit"]))
    def the_gateway_refuses(self, limit: str) -> None:
        self.traffic.passed = limit
        self.step()

    @precondition(lambda self: self.running)
    @rule(memory=st.integers(0, 11), processes=st.integers(0, 6), disk=st.integers(0, 11))
    def the_box_grows(self, memory: int, processes: int, disk: int) -> None:
        self.box.used = Resources(memory * 10**6, processes, disk * 10**6)
        self.step()

    @precondition(lambda self: self.running and self.clock.time > 3)
    @rule(code=st.sampled_from([0, 1, -11]))
    def the_cli_exits(self, code: int) -> None:
        self.box.exit(code)
        self.exited = True
        self.step()

    @precondition(lambda self: self.running and self.clock.time > 3)
    @rule()
    def the_user_interrupts(self) -> None:
        self.interrupted = True
        self.drive.end(Stop(Ending.INTERRUPTED, "interrupted"))
        self.step()

    @precondition(lambda self: self.running)
    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.clock.time + seconds
        while self.running and self.clock.time < end:
            self.step()

    @precondition(lambda self: not self.running)
    @rule()
    def it_stays_over(self) -> None:
        assert not self.drive.step()

    def step(self) -> None:
        """Step twice: the first step may only move the prompt or the output, which takes no time."""
        for _ in range(2):
            before, stopped = self.clock.time, self.drive.stop
            ended = self.exited or self.box.poll() is not None
            self.running = self.running and self.drive.step()
            if not self.running:
                self.over_at = min(self.over_at, self.clock.time)
            assert self.clock.time <= before + LOOK_S + 1e-9
            if stopped is None and self.drive.stop is not None:
                assert self.drive.stop.ending in self.due()
            if stopped is None and self.drive.stop is None and not ended:
                assert not self.due(), "a limit was exceeded unnoticed"

    def due(self) -> set[Ending]:
        """Return the endings that are right at this time, by the test's own record."""
        now, box = self.clock.time, self.box.used
        silent = now - max(self.last_write, self.traffic.last_activity)
        failed = {500: Ending.MODEL_ERROR, 429: Ending.RATE_LIMITED, 502: Ending.MODEL_UNREACHABLE}
        failure = self.traffic.last_failure if self.traffic.failures else None
        named = failed[failure.status or 0] if failure else Ending.IDLE_LIMIT
        conditions = {
            Ending.WALL_LIMIT: now >= 60,
            Ending.OUTPUT_LIMIT: self.written > 500,
            Ending.MEMORY_LIMIT: box.memory_bytes > 10 * 10**6,
            Ending.PROCESS_LIMIT: box.processes > 5,
            Ending.DISK_LIMIT: box.disk_bytes > 10 * 10**6,
            Ending.EMPTY_STEPS: self.empty >= 3,
            Ending.ENDLESS_COMPACTION: self.compactions >= 3,
            Ending.STALLED: any(now - one.since >= (5 if one.begun else 15) for one in self.traffic.waiting),
            Ending.HUNG_AFTER_FINAL: self.finished and not self.traffic.waiting and silent >= 3,
            Ending.INTERRUPTED: self.interrupted,
            named: not self.traffic.waiting and silent >= 20,
        }
        due = {ending for ending, holds in conditions.items() if holds}
        due |= {named} if self.traffic.failures >= 3 else set()
        return due | ({Ending(self.traffic.passed)} if self.traffic.passed else set())

    @invariant()
    def it_is_asked_to_end_once_and_no_more_model_after_that(self) -> None:
        stop = self.drive.stop
        assert len(self.box.terminated) == (stop is not None) == len(self.traffic.ended)
        assert self.box.closed == 0

    def teardown(self) -> None:
        if not hasattr(self, "drive"):
            return
        while self.running:
            self.step()
        assert self.over_at <= LIMITS.wall_s + LIMITS.grace_s + 2 * LOOK_S
        if self.box.terminated:
            assert self.over_at <= self.box.terminated[0] + LIMITS.grace_s + 2 * LOOK_S
        self.clock.time = self.over_at
        self.drive.__exit__(None, None, None)
        outcome = self.drive.outcome()
        assert self.box.closed == 1
        assert outcome.stop is not None or self.exited
        assert outcome.term_s <= LIMITS.grace_s + 2 * LOOK_S
        assert self.traffic.passed is None or outcome.stop is not None


TestSession = SessionMachine.TestCase
