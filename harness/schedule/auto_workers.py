"""Decides how many workers `-n auto` starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.case import ServerNeed
from harness.schedule.planner import Machine

CORES_A_SESSION = 0.5
"""CPU cores that one session of a real CLI takes, with the worker's gateway and the grading of the submission."""

GB_A_SESSION = 1.0
"""GB of memory that one session of a real CLI takes, with the worker itself (about 0.2 GB)."""


def workers(needs: Sequence[ServerNeed | None], machine: Machine, *, cores: int, memory_gb: float) -> int:
    """Return how many workers are useful for cases with these needs: at least one.

    There are no more workers than cores and memory allow, and no more than cases that can run at the same time. These
    are the cases that have a place at a model server, and those that need no server. A further worker would only wait
    for a GPU.
    """
    useful = _seats(needs, machine) + sum(need is None for need in needs)
    return max(1, min(useful, int(cores / CORES_A_SESSION), int(memory_gb / GB_A_SESSION)))


def _seats(needs: Sequence[ServerNeed | None], machine: Machine) -> int:
    """Return how many cases can use model servers at the same time. Models with the most seats per GPU come first."""
    cases = Counter(need for need in needs if need is not None and machine.has_room(need))
    gpus, slots, seats = machine.gpus, machine.cpu_slots, 0
    for need in sorted(cases, key=lambda need: -need.parallel / max(1, need.gpus)):
        wanted = -(-cases[need] // need.parallel)
        servers = min(wanted, gpus // need.gpus if need.gpus else slots)
        seats += min(cases[need], servers * need.parallel)
        gpus -= servers * need.gpus
        slots -= 0 if need.gpus else servers
    return seats
