"""Reads the held-out episodes of a case, and which of them were solved."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.malformed import MALFORMED
from harness.visible import visible_struct

SOLVED = "solved"

_FRAME = re.compile(r'File "[^"\n]*/submission/([^"\n]+)", line (\d+)')
_ANY_FRAME = '  File "'
_LONGEST = 120


class EpisodeLine(Struct, frozen=True):
    """A line of `episodes.jsonl`, as docs/records.md describes it. What an older version did not write is `None`."""

    index: int
    outcome: str
    steps: int | None = None
    reward: float | None = None
    seconds: float | None = None
    error: str | None = None
    count: int | None = None


class _EpisodeOutcomeLine(Struct):
    """The part of a line that `solved_flags` needs."""

    index: int
    outcome: str


def read_episodes(episodes: Path) -> list[EpisodeLine]:
    """Return the episodes in the `episodes.jsonl` of a case, or nothing if the file does not exist.

    A last line that a kill cut short is left out. Raise `ValueError` with the number of any other line that is not an
    episode, and `OSError` if the file cannot be read.
    """
    try:
        lines = episodes.read_bytes().split(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(visible_struct(msgspec.json.decode(line, type=EpisodeLine)))
        except MALFORMED as error:
            if number < len(lines):
                raise ValueError(f"{episodes}:{number}: not an episode: {error}") from error
    return found


def brief_error(error: str | None) -> str:
    """Return an error in one line: its last line.

    Of a traceback, return the first line of the exception instead, with its type, and the place in the submission.
    """
    lines = (error or "").strip().splitlines()
    if not lines:
        return ""
    frames = _FRAME.findall(error or "")
    place = f" ({frames[-1][0]}:{frames[-1][1]})" if frames else ""
    said = _exception_line(lines).strip()
    return (said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…") + place


def _exception_line(lines: list[str]) -> str:
    """Return the first line that is not indented after the last frame of a traceback, or else the last line."""
    last = max((number for number, line in enumerate(lines) if line.startswith(_ANY_FRAME)), default=len(lines))
    return next((line for line in lines[last + 1 :] if line.strip() and not line[0].isspace()), lines[-1])


def solved_flags(episodes: Path) -> tuple[bool, ...] | None:
    """Return whether each episode was solved, in the order of the seeds.

    `episodes` is the `episodes.jsonl` of a case. Return `None` if the file does not exist or is damaged.
    """
    try:
        lines = msgspec.json.Decoder(_EpisodeOutcomeLine).decode_lines(episodes.read_bytes())
    except (FileNotFoundError, NotADirectoryError, *MALFORMED):
        return None
    ordered = sorted(lines, key=lambda line: line.index)
    if [line.index for line in ordered] != list(range(len(ordered))):
        return None
    return tuple(line.outcome == SOLVED for line in ordered)
