"""Waiting until the folders of a session change no more, before anything in them is read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from harness.agent.clock import Clock
from harness.sandbox.base import SandboxError
from harness.untrusted.tree import CHANGE, walk

_PAUSE_S = 0.05
_PATIENCE_S = 5.0


def digest(folders: Sequence[Path]) -> str:
    """Return a digest that changes whenever a name, kind, size or time of change in these folders does.

    Every folder becomes accessible to its owner, so that the files can be read, moved and removed afterwards.
    """
    state = hashlib.blake2b(digest_size=16)
    for folder in folders:
        for name, status in walk(folder, rights=CHANGE):
            seen = (name, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
            state.update(repr(seen).encode("utf-8", "surrogateescape"))
    return state.hexdigest()


def settle(folders: Sequence[Path], clock: Clock) -> float:
    """Look until two looks in a row find the folders unchanged; return the seconds that took.

    Raise `SandboxError` if the folders still change after five seconds: then a process of the box still lives.
    """
    began = clock.now()
    last = digest(folders)
    while clock.now() - began < _PATIENCE_S:
        clock.sleep(_PAUSE_S)
        if last == (last := digest(folders)):
            return clock.now() - began
    raise SandboxError(
        f"{folders[0].parent} still changes although every process of the box was killed\n"
        "look for processes that left the box; with sandbox=none, a daemon can"
    )
