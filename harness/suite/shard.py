"""Divides a suite among machines.

The parts of `--shard I/N` have as many cases each. They depend on no history, so that all machines agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heapreplace
from itertools import accumulate

from msgspec import Struct

from harness.case import Case

_SLACK = 1.1


class Shard(Struct, frozen=True):
    """Part `index` (from 1) of `count` parts."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Return the shard for a text `I/N`. Raise `ValueError` if it is not valid."""
    match = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is not a shard: write I/N, as in 1/3 for the first of three")
    index, count = map(int, match.groups())
    if not 1 <= index <= count:
        raise ValueError(f"there is no shard {text}: I goes from 1 to N")
    return Shard(index, count)


def _one(_: Case) -> float:
    return 1.0


def shard(cases: Sequence[Case], part: Shard) -> list[Case]:
    """Return the cases of one shard, in the order of the suite. Each case of the suite is in exactly one shard."""
    return shards(cases, part.count)[part.index - 1]


def shards(cases: Sequence[Case], count: int, weigh: Callable[[Case], float] = _one) -> list[list[Case]]:
    """Return the cases of each of `count` shards, in the order of the suite. `weigh` is positive: the size of a case.

    Cases that share a model server stay together as long as no shard exceeds the mean size by more than a tenth, or by
    what one case can add to it. The cases of a larger model are divided among the smallest shards, one shard
    after the other, so the number of split models is lower than the number of shards. Cases without a server fill the
    rest. A server that is already running, at a `base_url`, is never divided: machines do not see each other's leases,
    so only one of them may use its places.
    """
    models: dict[str, list[Case]] = {}
    for case in cases:
        if case.server is not None:
            models.setdefault(case.server.key, []).append(case)
    size = {case.id: weigh(case) for case in cases}
    mean = sum(size.values()) / count
    found: list[list[Case]] = [[] for _ in range(count)]
    sizes = [0.0] * count
    for model in sorted(models.values(), key=lambda model: (model[0].provider.base_url is None, -_total(model, size))):
        left, whole = model, model[0].provider.base_url is not None
        while left:
            least = min(range(count), key=sizes.__getitem__)
            room = (
                len(left) if whole or _fits(left, size, sizes[least], mean) else _room(left, size, mean - sizes[least])
            )
            found[least] += left[:room]
            sizes[least] += _total(left[:room], size)
            left = left[room:]
    smallest = [(one, number) for number, one in enumerate(sizes)]
    heapify(smallest)
    for case in sorted((case for case in cases if case.server is None), key=lambda case: -size[case.id]):
        least_size, number = smallest[0]
        found[number].append(case)
        heapreplace(smallest, (least_size + size[case.id], number))
    order = {case.id: place for place, case in enumerate(cases)}
    return [sorted(one, key=lambda case: order[case.id]) for one in found]


def _total(cases: Sequence[Case], size: Mapping[str, float]) -> float:
    return sum(size[case.id] for case in cases)


def _fits(cases: Sequence[Case], size: Mapping[str, float], before: float, mean: float) -> bool:
    """Return whether these cases exceed the mean by at most a tenth, or by what the last one adds to it."""
    after = before + _total(cases, size)
    return after <= mean * _SLACK or after - size[cases[-1].id] < mean


def _room(cases: Sequence[Case], size: Mapping[str, float], space: float) -> int:
    """Return how many of these cases fill the space: the last one may exceed it. It is at least 1."""
    filled = accumulate((size[case.id] for case in cases), initial=0.0)
    return max(1, sum(1 for one in filled if one < space))
