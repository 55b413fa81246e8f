"""Drives one session of one CLI: sends the prompt, records the stream, and ends the session at its limits."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from msgspec import Struct

from backends.base import Backend
from backends.session import Session
from harness.agent.clock import Clock, SystemClock
from harness.agent.stream import OutputFiles, StreamReader
from harness.agent.watchdog import MB, Snapshot, Stop, Traffic, hangs, spent
from harness.case import Limits
from harness.endings import Ending, Terminated, explain
from harness.sandbox.base import Box

_LOOK_S = 0.1
_CHUNK = 1 << 16


class SessionOutcome(Struct, frozen=True, kw_only=True):
    """How a session went. `stop` says why the harness ended it; `None` means that the CLI ended by itself.

    `seconds` is the length of the whole session. It includes `term_s`, the time from SIGTERM to the exit of the CLI (0
    if no SIGTERM was sent), and `kill_s`, the time until the last process of the box was gone. `raised` is the
    exception that stopped the session from outside, or `None`. The caller must raise it again. `in_a_command` is
    `Session.in_a_command` when the CLI was told to end, because it may report killed commands after that.
    """

    session: Session
    exit_code: int
    stop: Stop | None
    in_a_command: bool
    raised: BaseException | None = None
    seconds: float
    term_s: float
    kill_s: float


class Progress(Struct, frozen=True, kw_only=True):
    """How far a session is: seconds since it began, turns, the last tool called ("" if none), and output tokens.

    `turns` is the number in the stream or in the gateway's ledger, whichever is larger, because some CLIs report their
    turns only at the end. `output_tokens` comes from the ledger.
    """

    seconds: float
    turns: int
    last_tool: str
    output_tokens: int


def drive(
    box: Box,
    backend: Backend,
    *,
    prompt: str,
    limits: Limits,
    traffic: Traffic,
    stream: Path,
    progress: Callable[[Progress], None],
    stderr: Path | None = None,
    clock: Clock | None = None,
    fault: Callable[[], str | None] = lambda: None,
) -> SessionOutcome:
    """Follow the command that `box` has started until it ends or reaches a limit, then close the box.

    Every byte of standard output is written to `stream` unchanged, up to the limit on output. `stderr` is the file to
    which the box appends standard error; it counts too. An exception that a signal raises meanwhile, such as
    Ctrl-C or pytest-timeout, ends the session in the same way as a limit, and is then in the outcome. A second one cuts
    the grace period short. The session also ends when `fault` says why the environment that the agent plays does not
    work any more.
    """
    clock = clock or SystemClock()
    with stream.open("wb") as file, Drive(box, backend, prompt, limits, traffic, file, clock, stderr, fault) as running:
        try:
            while running.step():
                progress(running.progress)
        except BaseException as error:
            running.interrupt(error)
    return running.outcome()


class Drive:
    """A session in progress. Call `step` until it returns false, then leave the context.

    Leaving the context always closes the box.
    """

    def __init__(
        self,
        box: Box,
        backend: Backend,
        prompt: str,
        limits: Limits,
        traffic: Traffic,
        stream: IO[bytes],
        clock: Clock,
        stderr: Path | None = None,
        fault: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._fault = fault
        self.stop: Stop | None = None
        self._raised: BaseException | None = None
        self._box, self._limits, self._traffic, self._clock = box, limits, traffic, clock
        self._reader = StreamReader(backend)
        most = None if limits.output_mb is None else limits.output_mb * MB
        self._output = OutputFiles(stream, stderr, most)
        self._pipes = _Pipes(box, self._output, prompt.encode(), clock)
        self._began = self._last_output = clock.now()
        self._terminated: float | None = None
        self._deadline: float | None = None
        self._stopped: float | None = None
        self._in_a_command: bool | None = None

    @property
    def session(self) -> Session:
        """What has been read so far."""
        return self._reader.session

    @property
    def seconds(self) -> float:
        """The seconds since the session began."""
        return self._clock.now() - self._began

    @property
    def progress(self) -> Progress:
        """The progress of the session."""
        session, metered = self.session, self._traffic.metered()
        return Progress(
            seconds=self.seconds,
            turns=max(session.turns, metered.turns),
            last_tool=session.last_tool,
            output_tokens=metered.output_tokens,
        )

    def step(self) -> bool:
        """Move the bytes that are ready, check the limits, and return whether the session goes on.

        This waits for 0.1 seconds at most. After SIGTERM, the session goes on only for the grace period. The same is
        true when the command has ended but another process still holds its output open.
        """
        ended = self._box.poll() is not None
        chunk = self._pipes.move(0 if ended else _LOOK_S)
        self._output.measure()
        now = self._clock.now()
        if chunk:
            self._last_output = now
            self._reader.feed(chunk, now)
        elif ended:
            return False
        if ended and self._deadline is None:
            self._deadline = now + self._limits.grace_s
        if self._deadline is not None:
            return now < self._deadline
        if self.stop is not None:
            self._ask_to_end(now)
            return True
        snapshot = self._snapshot(now)
        stop = spent(self._limits, self._traffic, snapshot) or hangs(
            self._limits, self._traffic, self.session, snapshot
        )
        if (broken := self._fault()) is not None:
            stop = Stop(Ending.ENVIRONMENT_FAILED, broken)
        if stop is not None:
            self.end(stop)
        return True

    def end(self, why: Stop) -> None:
        """Ask the CLI to end (SIGTERM). It has the grace period to write its last event.

        The gateway answers no further request. If the gateway refused a request, the CLI may not have reported its
        earlier answers yet. SIGTERM then waits for those reports, but for one grace period at most.
        """
        if self.stop is None:
            self.stop = why
            self._in_a_command = self.session.in_a_command
            self._traffic.end(why.ending)
        self._ask_to_end(self._clock.now())

    def interrupt(self, error: BaseException) -> None:
        """End the session because of an exception, which is kept. Return after the grace period at the latest."""
        self._raised = error
        ending, why, _ = explain(error)
        at_once = isinstance(error, Terminated) and error.at_once
        with suppress(BaseException):  # a second Ctrl-C ends the wait
            self.end(Stop(ending, why))
            while not at_once and self.step():
                pass

    def _ask_to_end(self, now: float) -> None:
        self._stopped = now if self._stopped is None else self._stopped
        unreported = self._traffic.passed is not None and self.session.turns < self._traffic.metered().turns
        if self._terminated is None and not (unreported and now < self._stopped + self._limits.grace_s):
            self._box.terminate()
            self._terminated = now
            self._deadline = now + self._limits.grace_s

    def outcome(self) -> SessionOutcome:
        """Return how the session went. Call this after leaving the context."""
        return self._outcome

    def _snapshot(self, now: float) -> Snapshot:
        return Snapshot(
            now=now,
            began=self._began,
            last_output=self._last_output,
            output_bytes=self._output.size,
            resources=self._box.resources(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipes.close()
        ended = self._clock.now()
        death = self._box.close()
        self._output.measure()
        self._reader.finish(ended)
        if self.stop is None:  # after a refused request, a CLI may exit before the limits are checked
            self.stop = spent(self._limits, self._traffic, self._snapshot(ended))
        self._outcome = SessionOutcome(
            session=self.session,
            exit_code=death.exit_code,
            stop=self.stop,
            in_a_command=self.session.in_a_command if self._in_a_command is None else self._in_a_command,
            raised=self._raised,
            seconds=self.seconds,
            term_s=0.0 if self._terminated is None else ended - self._terminated,
            kill_s=death.seconds,
        )


class _Pipes:
    """Moves bytes between the harness and a box. It never waits longer than the given timeout."""

    def __init__(self, box: Box, output: OutputFiles, prompt: bytes, clock: Clock) -> None:
        self._box, self._output, self._prompt, self._clock = box, output, prompt, clock
        self._selector = selectors.DefaultSelector()
        for pipe, event in ((box.stdout, selectors.EVENT_READ), (box.stdin, selectors.EVENT_WRITE)):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, event)

    def move(self, timeout: float) -> bytes:
        """Move what is ready and return what was read. If nothing is ready within `timeout` seconds, this is empty."""
        read = b""
        for _key, event in self._clock.select(self._selector, timeout):
            if event & selectors.EVENT_WRITE:
                self._write()
            else:
                read = self._read()
        return read

    def close(self) -> None:
        """Stop watching the pipes. They belong to the box and stay open."""
        self._selector.close()

    def _read(self) -> bytes:
        try:
            chunk = os.read(self._box.stdout.fileno(), _CHUNK)
        except BlockingIOError:
            return b""
        if not chunk:
            self._selector.unregister(self._box.stdout)
        self._output.write(chunk)
        return chunk

    def _write(self) -> None:
        try:
            self._prompt = self._prompt[os.write(self._box.stdin.fileno(), self._prompt) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._prompt = b""
        if not self._prompt:
            self._selector.unregister(self._box.stdin)
            self._box.stdin.close()
