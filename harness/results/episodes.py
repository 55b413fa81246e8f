"""Reads which held-out episodes of a case were solved."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from harness.malformed import MALFORMED

SOLVED = "solved"


class _EpisodeLine(Struct):
    """The part of a line of `episodes.jsonl` that is needed here."""

    index: int
    outcome: str


def solved_flags(episodes: Path) -> tuple[bool, ...] | None:
    """Return whether each episode was solved, in the order of the seeds.

    `episodes` is the `episodes.jsonl` of a case. Return `None` if the file does not exist or is damaged.
    """
    try:
        lines = msgspec.json.Decoder(_EpisodeLine).decode_lines(episodes.read_bytes())
    except (FileNotFoundError, NotADirectoryError, *MALFORMED):
        return None
    ordered = sorted(lines, key=lambda line: line.index)
    if [line.index for line in ordered] != list(range(len(ordered))):
        return None
    return tuple(line.outcome == SOLVED for line in ordered)
