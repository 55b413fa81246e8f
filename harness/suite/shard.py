"""`--shard I/N`: the part of a suite for one of several machines. It uses no history, so all machines agree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from heapq import heapify, heapreplace

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


def shard(cases: Sequence[Case], part: Shard) -> list[Case]:
    """Return the cases of one shard, in the order of the suite. Each case of the suite is in exactly one shard."""
    return shards(cases, part.count)[part.index - 1]


def shards(cases: Sequence[Case], count: int) -> list[list[Case]]:
    """Return the cases of each of `count` shards, in the order of the suite.

    Cases that share a model server stay together as long as no shard exceeds the mean by more than a tenth, or by one
    case if the mean is not a whole number. The cases of a larger model are divided among the smallest shards, one shard
    after the other, so the number of split models is lower than the number of shards. Cases without a server fill the
    rest. A server that is already running, at a `base_url`, is never divided: machines do not see each other's leases,
    so only one of them may use its places.
    """
    models: dict[str, list[Case]] = {}
    for case in cases:
        if case.server is not None:
            models.setdefault(case.server.key, []).append(case)
    mean = -(-len(cases) // count)
    most = max(mean, int(_SLACK * len(cases) / count))
    found: list[list[Case]] = [[] for _ in range(count)]
    for model in sorted(models.values(), key=lambda model: (model[0].provider.base_url is None, -len(model))):
        left, whole = model, model[0].provider.base_url is not None
        while left:
            least = min(found, key=len)
            fits = whole or len(least) + len(left) <= most
            room = len(left) if fits else max(1, mean - len(least))
            least.extend(left[:room])
            left = left[room:]
    smallest = [(len(one), number) for number, one in enumerate(found)]
    heapify(smallest)
    for case in cases:
        if case.server is None:
            size, number = smallest[0]
            found[number].append(case)
            heapreplace(smallest, (size + 1, number))
    order = {case.id: place for place, case in enumerate(cases)}
    return [sorted(one, key=lambda case: order[case.id]) for one in found]
