"""An environment that tries to outlive itself when it is told to. Tests write its text to a folder of their own.

Its argument `how` names what `reset` does. The pids of the processes that it starts are appended to the file `pids`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from harness.environments.maze import Maze

_MB = 1 << 20


class Survivor(Maze):
    """See above."""

    def __init__(self, max_steps: int, how: str, pids: str) -> None:
        super().__init__(3, 5, max_steps)
        self._how, self._pids = how, Path(pids)

    def reset(self, seed: int) -> Any:
        """Start the processes. Then begin an episode."""
        HOWS[self._how](self._note)
        return super().reset(seed)

    def _note(self) -> None:
        with self._pids.open("a") as file:
            file.write(f"{os.getpid()} ")


def _linger(note: Any) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    note()
    while True:
        time.sleep(3600)


def _session(note: Any) -> None:
    if os.fork() == 0:
        os.setsid()
        _linger(note)


def _orphan(note: Any) -> None:
    """Fork twice, each time with a session of its own, so that the parent is gone."""
    if (child := os.fork()) == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            os.closerange(0, 3)
            _linger(note)
        os._exit(0)
    os.waitpid(child, 0)


def _bomb(note: Any) -> None:
    """Fork from each process over and over, in sessions of their own. Some hundred live at a time."""
    if os.fork() == 0:
        os.setsid()
        for _generation in range(7):
            try:
                if os.fork() == 0:
                    os.setsid()
            except OSError:
                break
        note()
        while True:  # one that dies is replaced
            try:
                if os.fork() == 0:
                    os._exit(0)
                os.waitpid(-1, 0)
            except OSError:
                time.sleep(0.01)


def _memory(note: Any) -> None:
    """Fill memory in several processes. Each stays below the limit. End when one of them has ended."""
    for _child in range(8):
        if os.fork() == 0:
            note()
            held = bytearray(100 * _MB)
            held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
            time.sleep(3600)
            sys.exit(len(held))
    os.wait()
    os._exit(5)


HOWS: dict[str, Any] = {"session": _session, "orphan": _orphan, "bomb": _bomb, "memory": _memory}
