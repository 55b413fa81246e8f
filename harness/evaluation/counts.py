"""The numbers of objects of graded episodes: which episode has which, and the score for each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import cycle, islice, zip_longest
from typing import TypedDict

from harness.environment_conf import Counts
from harness.grading import CountScore
from harness.seed_key import SeedKey


class ByCount(TypedDict, total=False):
    """The fields of `Score` that tell about numbers of objects."""

    by_count: dict[int, CountScore]
    design_rate: float | None
    held_out_rate: float | None
    largest_count_all_solved: int | None
    largest_count_any_solved: int | None


def scheduled_counts(counts: Counts | None, episodes: int) -> Sequence[int | None]:
    """Return the number of objects of each graded episode, or `None` for each if the environment has no such numbers.

    The design counts and the held-out counts take turns, in their order, so that a few episodes have some of each. They
    are the same for all backends, models and replicates, because nothing else decides.
    """
    if counts is None:
        return [None] * episodes
    pairs = zip_longest(counts.design, counts.held_out)
    return list(islice(cycle(number for pair in pairs for number in pair if number is not None), episodes))


def by_count(results: Iterable[tuple[int | None, bool]], design: Collection[int]) -> ByCount:
    """Return the score for each number of objects, from that number and whether it was solved for each episode.

    Without such numbers, there is nothing to return.
    """
    solved: dict[int, list[bool]] = {}
    for count, is_solved in results:
        if count is not None:
            solved.setdefault(count, []).append(is_solved)
    if not solved:
        return {}
    return {
        "by_count": {
            count: CountScore(
                episodes=len(episodes),
                solved=sum(episodes),
                solve_rate=sum(episodes) / len(episodes),
                held_out=count not in design,
            )
            for count, episodes in sorted(solved.items())
        },
        "design_rate": _rate(solved[count] for count in solved if count in design),
        "held_out_rate": _rate(solved[count] for count in solved if count not in design),
        "largest_count_all_solved": max((count for count in solved if all(solved[count])), default=None),
        "largest_count_any_solved": max((count for count in solved if any(solved[count])), default=None),
    }


def counts_digest(key: SeedKey, counts: Counts | None) -> str | None:
    """Return what the conditions of a case keep of its held-out counts, in hexadecimal. Without counts, return `None`.

    For one key, it is equal only for the same numbers. Without the key, it does not show whether a guess is right.
    """
    if counts is None:
        return None
    return key.mac(f"counts\0{','.join(map(str, sorted(counts.held_out)))}".encode()).hex()


def _rate(parts: Iterable[Sequence[bool]]) -> float | None:
    episodes = [is_solved for part in parts for is_solved in part]
    return sum(episodes) / len(episodes) if episodes else None
