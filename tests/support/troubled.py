"""An environment that gets into trouble when it is told to. Tests write this file's text to a folder of their own.

It is a small maze. Its argument `where` names the method that makes the trouble, and `what` the trouble. With `once`,
the path of a file, only the first process that comes there makes it.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

from harness.environments.maze import Maze


class Troubled(Maze):
    """See above."""

    def __init__(self, max_steps: int, where: str = "", what: str = "", once: str = "") -> None:
        super().__init__(3, 5, max_steps)
        self._where, self._what, self._once = where, what, once
        self._get("make")

    def _get(self, where: str) -> None:
        if where != self._where or (self._once and Path(self._once).exists()):
            return
        if self._once:
            Path(self._once).touch()
        print("trouble ahead", flush=True)
        TROUBLES[self._what]()

    def reset(self, seed: int) -> Any:
        """See `Environment.reset`."""
        self._get("reset")
        return super().reset(seed)

    def step(self, action: Any) -> Any:
        """See `Environment.step`."""
        self._get("step")
        return super().step(action)

    def render(self) -> Any:
        """See `Environment.render`."""
        self._get("render")
        return super().render()

    def describe(self) -> str:
        """See `Environment.describe`."""
        self._get("describe")
        return super().describe()

    def spaces(self) -> Any:
        """See `Environment.spaces`."""
        self._get("spaces")
        return super().spaces()

    def set_state(self, state: Any) -> None:
        """See `Environment.set_state`."""
        self._get("set_state")
        super().set_state(state)


def _loop() -> None:
    while True:
        pass


def _raise() -> None:
    raise RuntimeError("the simulator broke")


def _flood() -> None:
    for _ in range(300):
        print("x" * 100_000)
        print("y" * 100_000, file=sys.stderr)
    raise RuntimeError("the flood is over")


def _hold_on() -> None:
    """End, and leave a thread and a child behind that hold everything open."""
    threading.Thread(target=time.sleep, args=(3600,)).start()
    if os.fork() == 0:
        time.sleep(3600)
    os._exit(4)


def _leak() -> None:
    """Keep more and more memory, until there is no more."""
    kept = []
    while True:
        kept.append(bytearray(1 << 24))


def _close_all() -> None:
    os.closerange(0, 1000)


TROUBLES: dict[str, Any] = {
    "loop": _loop,
    "in_c": lambda: re.match("(a+)+$", "a" * 60 + "b"),  # the regular expression keeps the GIL
    "asleep": lambda: time.sleep(3600),
    "exit": lambda: os._exit(3),
    "sys.exit": lambda: sys.exit("bye"),
    "segfault": lambda: ctypes.string_at(0),
    "leak": _leak,
    "memory": lambda: bytearray(1 << 40),
    "raise": _raise,
    "flood": _flood,
    "hold_on": _hold_on,
    "close_all": _close_all,
}
