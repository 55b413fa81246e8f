"""Fakes for a session without a CLI: a box, a clock and a gateway that the test controls."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from selectors import BaseSelector, SelectorKey
from typing import IO, Self, cast

from backends import events as ev
from backends.base import Backend
from harness.gateway.ledger import Metered, RequestFailure, Waiting
from harness.sandbox.base import Death, Endpoint, Resources


class FakeClock:
    """A clock whose time passes only when nothing is ready. It calls `on_wait` before each wait."""

    def __init__(self) -> None:
        self.time = 0.0
        self.on_wait: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def select(self, selector: BaseSelector, timeout: float) -> list[tuple[SelectorKey, int]]:
        self.on_wait()
        ready = selector.select(0)
        if not ready:
            self.time += timeout
        return ready


class FakeBox:
    """A box whose command writes and exits as told. It exits `heeds_after` seconds after SIGTERM (`None`: never).

    `used` are the resources that the box reports.
    """

    def __init__(self, clock: FakeClock, heeds_after: float | None = 0.5) -> None:
        self.used = Resources()
        self.workspace = self.home = "/nowhere"
        self.mounts: Mapping[str, str] = {}
        self.endpoints: Mapping[str, Endpoint] = {}
        self.terminated: list[float] = []
        self.closed = 0
        self._clock = clock
        self._heeds_after = heeds_after
        self._exit_code: int | None = None
        self._far_stdin, near_stdin = os.pipe()
        near_stdout, self._far_stdout = os.pipe()
        self.stdin: IO[bytes] = os.fdopen(near_stdin, "wb")
        self.stdout: IO[bytes] = os.fdopen(near_stdout, "rb", buffering=0)

    def write(self, data: bytes) -> None:
        os.write(self._far_stdout, data)

    def exit(self, code: int) -> None:
        self._exit_code = code if self._exit_code is None else self._exit_code

    def exec(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        raise NotImplementedError

    def terminate(self) -> None:
        self.terminated.append(self._clock.time)

    def poll(self) -> int | None:
        heeds = self.terminated and self._heeds_after is not None
        if heeds and self._clock.time >= self.terminated[0] + (self._heeds_after or 0.0):
            self.exit(-15)
        return self._exit_code

    def wait(self, timeout: float) -> int | None:
        return self.poll()

    def resources(self) -> Resources:
        return self.used

    def outside(self) -> Path:
        return Path(self.workspace)

    def leaks(self) -> list[str]:
        return []

    def close(self) -> Death:
        self.closed += 1
        if self.closed == 1:
            for end in (self._far_stdin, self._far_stdout):
                os.close(end)
            for file in (self.stdin, self.stdout):
                with suppress(OSError):
                    file.close()
        return Death(-9 if self._exit_code is None else self._exit_code, 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FakeTraffic:
    """A fake of the gateway's side of a session. The test sets its attributes."""

    def __init__(self) -> None:
        self.passed: str | None = None
        self.last_activity = 0.0
        self.waiting: list[Waiting] = []
        self.failures = 0
        self.last_failure: RequestFailure | None = None
        self.totals = Metered()
        self.ended: list[str] = []

    def metered(self) -> Metered:
        return self.totals

    def explain(self, limit: str) -> str:
        return f"all of the {limit} is used"

    def end(self, why: str) -> None:
        self.ended.append(why)


class _Lines:
    """Decodes lines of one word: `turn`, `empty` and `call` are responses; `compaction` and `final` are such events."""

    def __init__(self) -> None:
        self._turns = 0

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        self._turns += 1
        turn = f"turn{self._turns}"
        match line.split(b" ")[0]:
            case b"turn":
                return ev.TurnStarted(turn=turn), ev.Text(turn=turn, text="x"), ev.TurnFinished(turn=turn)
            case b"empty":
                return ev.TurnStarted(turn=turn), ev.TurnFinished(turn=turn)
            case b"call":
                call = ev.ToolCall(turn=turn, call_id=turn, name="Bash")
                return ev.TurnStarted(turn=turn), call, ev.TurnFinished(turn=turn)
            case b"compaction":
                return (ev.Compaction(),)
            case b"final":
                return (ev.SessionFinished(),)
        return ()


def fake_backend() -> Backend:
    return cast(Backend, _Lines())
