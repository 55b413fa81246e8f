"""Drives one session of one CLI: feeds the prompt, keeps the stream, and ends it by its limits."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from msgspec import Struct

from backends.base import Backend
from backends.session import Session
from harness.agent.stream import LineReader
from harness.agent.watchdog import Traffic, passed_limit
from harness.case import Ending, Limits
from harness.sandbox.base import Box

_LOOK_S = 0.1
_CHUNK = 1 << 16


class Outcome(Struct, frozen=True, kw_only=True):
    """How a session went. `stopped_by` is the limit at which the harness ended it, none where the CLI ended itself."""

    session: Session
    exit_code: int
    stopped_by: Ending | None
    seconds: float
    kill_s: float


def drive(
    box: Box,
    backend: Backend,
    *,
    prompt: str,
    limits: Limits,
    traffic: Traffic,
    stream: Path,
    progress: Callable[[Session, float], None],
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Follow the command that `box` has started to its end, or to the first limit; the box is closed afterwards.

    Every byte of standard output goes to `stream` as it came. Turn limits are held by the gateway, which refuses the
    breaking request; wall and idle limits are held here.
    """
    began = clock()
    stopped_by = None
    try:
        with stream.open("wb") as file, _Reader(box, backend, file, prompt.encode()) as reader:
            last_output = began
            while (size := reader.step()) is not None:
                now = clock()
                last_output = now if size else last_output
                progress(reader.session, now - began)
                stopped_by = passed_limit(
                    limits, traffic, reader.session, began=began, last_output=last_output, now=now
                )
                if stopped_by is not None:
                    _let_go(box, reader, clock, limits.grace_s)
                    break
    finally:
        death = box.close()
    return Outcome(
        session=reader.session,
        exit_code=death.exit_code,
        # A CLI may end by itself on a refusal, before the limits are looked at.
        stopped_by=Ending(traffic.refused) if traffic.refused else stopped_by,
        seconds=clock() - began,
        kill_s=death.seconds,
    )


def _let_go(box: Box, reader: _Reader, clock: Callable[[], float], grace_s: float) -> None:
    """Ask the CLI to end, and read on while it may still write its last event."""
    box.terminate()
    deadline = clock() + grace_s
    while clock() < deadline and reader.step() is not None:
        pass


class _Reader:
    """Moves bytes between the harness and a box, never waiting longer than one look."""

    def __init__(self, box: Box, backend: Backend, file: IO[bytes], prompt: bytes) -> None:
        self._box = box
        self._backend = backend
        self._file = file
        self._prompt = prompt
        self._lines = LineReader()
        self._selector = selectors.DefaultSelector()
        self.session = Session()
        for pipe, event in ((box.stdout, selectors.EVENT_READ), (box.stdin, selectors.EVENT_WRITE)):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, event)

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._decode(self._lines.finish())
        self._selector.close()

    def step(self) -> int | None:
        """Move what is ready; the number of bytes read, or none once the command has ended and all is read."""
        ended = self._box.poll() is not None
        size = 0
        for _key, event in self._selector.select(0 if ended else _LOOK_S):
            if event & selectors.EVENT_WRITE:
                self._write()
            else:
                size += self._read()
        return None if ended and not size else size

    def _read(self) -> int:
        try:
            chunk = os.read(self._box.stdout.fileno(), _CHUNK)
        except BlockingIOError:
            return 0
        if not chunk:
            self._selector.unregister(self._box.stdout)
        self._file.write(chunk)
        self._file.flush()
        self._decode(self._lines.feed(chunk))
        return len(chunk)

    def _decode(self, lines: Iterable[tuple[int, bytes, bool]]) -> None:
        for _offset, line, _truncated in lines:
            for event in self._backend.decode(line):
                self.session.add(event)

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
