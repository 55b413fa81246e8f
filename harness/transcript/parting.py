"""Compares two transcripts: how many turns are the same, and what differs from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from harness.transcript.turns import Said, Thread, Turn


def same_turns(one: Thread, other: Thread) -> int:
    """Return how many turns at the beginning say the same and call the same tools with the same arguments."""
    same = 0
    for left, right in zip(one.turns, other.turns, strict=False):
        if list(_said_and_called(left)) != list(_said_and_called(right)):
            break
        same += 1
    return same


def paired(one: Thread, other: Thread) -> list[tuple[Turn | None, Turn | None]]:
    """Return the turns of both threads by their place."""
    return list(zip_longest(one.turns, other.turns))


def side_by_side(left: Sequence[str], right: Sequence[str], width: int) -> Iterator[str]:
    """Yield the lines of two texts beside each other, each in half of the width. Longer lines are wrapped."""
    half = max(10, (width - 3) // 2)
    wrapped = ([piece for line in lines for piece in _wrapped(line, half)] for lines in (left, right))
    for first, second in zip_longest(*wrapped, fillvalue=""):
        yield f"{first:<{half}} | {second}".rstrip()


def _said_and_called(turn: Turn) -> Iterator[object]:
    for part in turn.parts:
        yield part.text if isinstance(part, Said) else (part.name, part.arguments)


def _wrapped(line: str, width: int) -> list[str]:
    return [line[start : start + width] for start in range(0, len(line), width)] or [""]
