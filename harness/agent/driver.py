"""Drives one session of one CLI: feeds the prompt, keeps the stream, and ends it by its limits."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from msgspec import Struct

from backends.base import Backend
from backends.session import Session
from harness.agent.clock import Clock, SystemClock
from harness.agent.stream import StreamReader
from harness.agent.watchdog import Snapshot, Stop, Traffic, hangs, spent
from harness.case import Limits
from harness.endings import Ending
from harness.sandbox.base import Box

_LOOK_S = 0.1
_CHUNK = 1 << 16


class SessionOutcome(Struct, frozen=True, kw_only=True):
    """How a session went. `stop` says why the harness ended it, none where the CLI ended itself.

    `seconds` is the whole of it; of these `term_s` passed between SIGTERM and the CLI's end (0: it was not asked), and
    `kill_s` until the last process of the box was gone.
    """

    session: Session
    exit_code: int
    stop: Stop | None
    seconds: float
    term_s: float
    kill_s: float


class Progress(Struct, frozen=True, kw_only=True):
    """How far a session is: seconds since it began, turns, the tool called last ("": none), tokens put out.

    `turns` are those of the stream or of the gateway's ledger, whichever knows of more: some CLIs report theirs only at
    the end. The tokens are those of the ledger.
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
    clock: Clock | None = None,
) -> SessionOutcome:
    """Follow the command that `box` has started to its end, or to the first limit; the box is closed afterwards.

    Every byte of standard output goes to `stream` as it came. Ctrl-C ends the session as a limit does; a second one
    cuts its grace short.
    """
    clock = clock or SystemClock()
    with stream.open("wb") as file, Drive(box, backend, prompt, limits, traffic, file, clock) as running:
        try:
            while running.step():
                progress(running.progress)
        except KeyboardInterrupt:
            running.end(Stop(Ending.INTERRUPTED, "interrupted by the user"))
            while running.step():
                pass
    return running.outcome()


class Drive:
    """A session under way. Call `step` until it says that there is nothing more to come, then leave the context.

    Leaving closes the box, whatever happened.
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
    ) -> None:
        self.stop: Stop | None = None
        self._box, self._limits, self._traffic, self._clock = box, limits, traffic, clock
        self._reader = StreamReader(backend)
        self._pipes = _Pipes(box, stream, prompt.encode(), clock)
        self._began = self._last_output = clock.now()
        self._asked: float | None = None
        self._deadline: float | None = None
        self._stopped: float | None = None

    @property
    def session(self) -> Session:
        """What was read so far."""
        return self._reader.session

    @property
    def seconds(self) -> float:
        """Since it began."""
        return self._clock.now() - self._began

    @property
    def progress(self) -> Progress:
        """How far it is."""
        session, metered = self.session, self._traffic.metered()
        return Progress(
            seconds=self.seconds,
            turns=max(session.turns, metered.turns),
            last_tool=session.last_tool,
            output_tokens=metered.output_tokens,
        )

    def step(self) -> bool:
        """Move what is ready, waiting a moment at most, and look at the limits; whether the session goes on.

        After SIGTERM, and once the command has ended while another process holds its output open, it goes on for the
        grace period only.
        """
        ended = self._box.poll() is not None
        chunk = self._pipes.move(0 if ended else _LOOK_S)
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
        stop = spent(self._limits, self._traffic, self.session, snapshot) or hangs(
            self._limits, self._traffic, self.session, snapshot
        )
        if stop is not None:
            self.end(stop)
        return True

    def end(self, why: Stop) -> None:
        """Ask the CLI to end (SIGTERM); it has the grace period to write its last event, but no model any more.

        Where the gateway refused a request, the CLI may still be about to tell of the answers before: it is given up
        to another grace period for that first.
        """
        if self.stop is None:
            self.stop = why
            self._traffic.end(why.ending)
        self._ask_to_end(self._clock.now())

    def _ask_to_end(self, now: float) -> None:
        self._stopped = now if self._stopped is None else self._stopped
        telling = self._traffic.passed is not None and self.session.turns < self._traffic.metered().turns
        if self._asked is None and not (telling and now < self._stopped + self._limits.grace_s):
            self._box.terminate()
            self._asked = now
            self._deadline = now + self._limits.grace_s

    def outcome(self) -> SessionOutcome:
        """How it went; to be asked for once the context is left."""
        return self._outcome

    def _snapshot(self, now: float) -> Snapshot:
        return Snapshot(
            now=now,
            began=self._began,
            last_output=self._last_output,
            output_bytes=self._pipes.bytes_read,
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
        self._reader.finish(ended)
        if self.stop is None:  # a CLI may end itself on a refusal before the limits are looked at
            self.stop = spent(self._limits, self._traffic, self.session, self._snapshot(ended))
        self._outcome = SessionOutcome(
            session=self.session,
            exit_code=death.exit_code,
            stop=self.stop,
            seconds=self.seconds,
            term_s=0.0 if self._asked is None else ended - self._asked,
            kill_s=death.seconds,
        )


class _Pipes:
    """Moves bytes between the harness and a box, never waiting longer than it is told."""

    def __init__(self, box: Box, stream: IO[bytes], prompt: bytes, clock: Clock) -> None:
        self.bytes_read = 0
        self._box, self._stream, self._prompt, self._clock = box, stream, prompt, clock
        self._selector = selectors.DefaultSelector()
        for pipe, event in ((box.stdout, selectors.EVENT_READ), (box.stdin, selectors.EVENT_WRITE)):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, event)

    def move(self, timeout: float) -> bytes:
        """Move what is ready; what was read, which is nothing after `timeout` seconds."""
        read = b""
        for _key, event in self._clock.select(self._selector, timeout):
            if event & selectors.EVENT_WRITE:
                self._write()
            else:
                read = self._read()
        return read

    def close(self) -> None:
        """Watch nothing any more; the pipes are the box's."""
        self._selector.close()

    def _read(self) -> bytes:
        try:
            chunk = os.read(self._box.stdout.fileno(), _CHUNK)
        except BlockingIOError:
            return b""
        if not chunk:
            self._selector.unregister(self._box.stdout)
        self.bytes_read += len(chunk)
        self._stream.write(chunk)
        self._stream.flush()
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
