"""How many workers `-n auto` starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.case import ServerNeed
from harness.schedule.planner import Machine

CORES_A_SESSION = 0.5
"""What a session of a real CLI takes of a core, with the worker's gateway and the grading of what it hands in."""

GB_A_SESSION = 1.0
"""What a session of a real CLI takes of memory, with the worker itself (≈ 0.2 GB)."""


def workers(needs: Sequence[ServerNeed | None], machine: Machine, *, cores: int, memory_gb: float) -> int:
    """How many workers are of use for cases with these needs: at least one.

    No more than cores and memory allow, than there are cases, and than can sit at a model server at a time beside those
    whose case needs none: a worker more would only wait for a GPU.
    """
    useful = _seats(needs, machine) + sum(need is None for need in needs)
    return max(1, min(useful, int(cores / CORES_A_SESSION), int(memory_gb / GB_A_SESSION)))


def _seats(needs: Sequence[ServerNeed | None], machine: Machine) -> int:
    """The most cases that can sit at servers at a time: models with most seats for a GPU are taken first."""
    cases = Counter(need for need in needs if need is not None and machine.has_room(need))
    gpus, slots, seats = machine.gpus, machine.cpu_slots, 0
    for need in sorted(cases, key=lambda need: -need.parallel / max(1, need.gpus)):
        wanted = -(-cases[need] // need.parallel)
        servers = min(wanted, gpus // need.gpus if need.gpus else slots)
        seats += min(cases[need], servers * need.parallel)
        gpus -= servers * need.gpus
        slots -= 0 if need.gpus else servers
    return seats
