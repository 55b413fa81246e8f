"""Attempts to take more memory or disk than a room may have, which only the host can judge, and their controls."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from harness.agent.watchdog import Snapshot, spent
from harness.case import Limits
from harness.sandbox.base import Bounds, Box, Sandbox
from tests.security import limit_attacks
from tests.security.rooms import sandbox_without, sealed_sandbox
from tests.support.fakes import FakeTraffic
from tests.support.sandboxes import PYTHON, request

ATTACKS = Path(limit_attacks.__file__)
BOUNDS = Limits(memory_mb=150, disk_mb=8)
PATIENCE_S, SETTLED_S = 60.0, 3.0
"""How long an attempt may take, and how long after it the room may take to end it."""

ATTEMPTS: dict[str, str] = {
    **{f"take too much memory by {name}": name for name in limit_attacks.MEMORY},
    **{f"take too much disk by {name}": name for name in limit_attacks.DISK},
    "start endless processes": "endless processes",
}
"""The name of each attempt in `tests.security.limit_attacks`."""


class Taken(NamedTuple):
    """Whether the attempt took all that it wanted, and whether the room ended it."""

    all: bool
    ended: bool


def sealed(folder: Path) -> dict[str, str]:
    """Make every attempt in a room with limits."""
    return _outcomes(folder, sealed_sandbox(max_processes=40), BOUNDS)


def controls(folder: Path) -> dict[str, str]:
    """Make every attempt in a room without limits, and without the filter where that holds an attempt, too."""
    return _outcomes(
        folder, sandbox_without(frozenset({"limits", "seccomp"}), {}), Limits(memory_mb=None, disk_mb=None)
    )


def _outcomes(folder: Path, sandbox: Sandbox, limits: Limits) -> dict[str, str]:
    found = {}
    for name, attack in ATTEMPTS.items():
        with TemporaryDirectory(dir=folder) as place:
            taken = _take(Path(place), sandbox, attack, limits)
        found[name] = "breached" if taken.all and not taken.ended else "held: it was stopped"
    return found


def _take(folder: Path, sandbox: Sandbox, attack: str, limits: Limits) -> Taken:
    megabytes = 400 if attack in limit_attacks.MEMORY else 40
    shown = (*PYTHON.readable, ATTACKS)
    with sandbox.open(request(folder, readable=shown, bounds=Bounds.of(limits))) as box:
        box.exec([PYTHON.inside, "-I", "-S", "-B", str(ATTACKS), attack, str(megabytes)], {})
        done = ended = False
        deadline = time.monotonic() + PATIENCE_S
        while not ended and time.monotonic() < deadline:
            said = (folder / "stderr").read_text()
            ended = box.wait(0.05) is not None or _over(box, limits) or "refused" in said
            if not done and "taken" in said:
                done = True
                deadline = time.monotonic() + (SETTLED_S if limits.memory_mb else 0)
    return Taken(done, ended)


def _over(box: Box, limits: Limits) -> bool:
    snapshot = Snapshot(now=0, began=0, last_output=0, resources=box.resources())
    return spent(limits, FakeTraffic(), snapshot) is not None
