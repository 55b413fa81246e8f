"""Plans the parts of a launched run. It has no effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from harness.case import Case
from harness.endings import ConfError
from harness.launch.files import JobRequest, Part
from harness.suite.shard import shards

GRADE_S = 300.0
"""Seconds that a grade may take if `evaluation.wall_s` sets no limit."""

_MOST_NAMES = 5
_LEAST_S = 0.1


def most_s(case: Case) -> float:
    """Return the most seconds that a case may take: its session and its grade.

    It is what a case needs to be let start. Waiting for a rate limit is not counted.
    """
    grade = case.evaluation.wall_s or GRADE_S
    return grade + (case.limits.wall_s if case.has_agent else 0.0)


def usual_nodes(cases: Sequence[Case]) -> int:
    """Return how many parts a suite gets if nobody says: one for each model server that it needs, and at least one."""
    return max(1, len({case.server.key for case in cases if case.server is not None}))


def plan(cases: Sequence[Case], count: int, expected_s: Callable[[Case], float | None]) -> list[Part]:
    """Return parts of these cases that should take equally long. `expected_s` tells how long a case took before.

    A case without a past counts as the median of those with one. Raise `ConfError` if there are more parts than can
    have a case.
    """
    told = {case.id: expected_s(case) for case in cases}
    known = [seconds for seconds in told.values() if seconds is not None]
    usual = median(known) if known else 1.0
    seconds = {name: max(_LEAST_S, usual if one is None else one) for name, one in told.items()}
    found = shards(cases, count, lambda case: seconds[case.id])
    empty = sum(not one for one in found)
    if empty:
        raise ConfError(f"{count} parts are too many: {empty} of them would have none of the {len(cases)} cases")
    return [_part(index, one, seconds if known else None) for index, one in enumerate(found, 1)]


def _part(index: int, cases: Sequence[Case], seconds: Mapping[str, float] | None) -> Part:
    servers = {case.server for case in cases if case.server is not None}
    return Part(
        index=index,
        cases=[case.id for case in cases],
        servers=sorted({server.key for server in servers}),
        gpus=max((server.gpus for server in servers), default=0),
        expected_s=None if seconds is None else sum(seconds[case.id] for case in cases),
    )


def check(cases: Sequence[Case], resources: JobRequest) -> None:
    """Raise `ConfError` if a case can never run in such a job: it needs more GPUs, or more time."""
    greedy = {
        f"{case.server.key} needs {case.server.gpus}"
        for case in cases
        if case.server is not None and case.server.gpus > resources.gpus_per_node
    }
    if greedy:
        raise ConfError(f"--gpus-per-node {resources.gpus_per_node} is too few: {_listed(sorted(greedy))}")
    room = resources.time_s - resources.reserved_s
    slow = sorted({f"{case.id} may take {most_s(case):.0f} s" for case in cases if most_s(case) > room})
    if slow:
        raise ConfError(
            f"--time leaves {max(room, 0.0):.0f} s for cases ({resources.reserved_s:.0f} s are for ending sessions): "
            f"{_listed(slow)} (limits.wall_s and evaluation.wall_s, or {GRADE_S:.0f} s for a grade without a limit)"
        )


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
