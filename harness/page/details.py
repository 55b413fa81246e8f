"""Everything that the page shows of one case: its record, transcripts, episodes, submission and pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from backends.base import Backend
from backends.registry import backend
from harness.evaluation.playing import Episode
from harness.grading import CountScore
from harness.malformed import MALFORMED
from harness.page.coloured import coloured
from harness.page.thread import Shower
from harness.report.properties import wilson
from harness.results.record import Record
from harness.results.runs import folder_of
from harness.transcript.read import read_transcripts
from harness.visible import visible, visible_struct

_MOST_TEXT = 100_000
"""How many characters of one text the page has."""

_LESS_TEXT = 4_000
"""How many it has if the case would take more than `_MOST_CASE` otherwise."""

_MOST_CASE = 4_000_000
"""About how many bytes of JSON one case may take."""

PICTURES = 20_000_000
"""How many bytes of pictures one page has."""

_EPISODE = msgspec.json.Decoder(Episode)
_MOST_FILES = 50
_MOST_SOURCE = 200_000
_MOST_EPISODES = 2_000


class Pictures:
    """Puts pictures into the page, as long as all together take at most `room` bytes."""

    def __init__(self, room: int) -> None:
        self._room = room

    def take(self, paths: Iterator[Path]) -> dict[str, str]:
        """Return each PNG or WebP file as an address that holds it, by name. Leave out what there is no room for."""
        taken = {}
        for path in paths:
            try:
                size = path.stat().st_size
                if size <= self._room and path.is_file() and not path.is_symlink():
                    kind = path.suffix.removeprefix(".")
                    taken[path.name] = f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
                    self._room -= size
            except OSError:
                continue
        return taken


def details(record: Record, run: Path, pictures: Pictures) -> dict[str, Any]:
    """Return the details of a case as plain data. Nothing in its folder makes this raise."""
    folder = folder_of(run, record)
    score = record.score
    adapter, fault = _adapter(record)
    found: dict[str, Any] = {
        "record": msgspec.to_builtins(visible_struct(record)),
        "interval": wilson(score.solved, score.episodes) if score and 0 <= score.solved <= score.episodes > 0 else None,
        "counts": _counts(score.by_count) if score else [],
        "folder": visible(str(folder.path)) if folder else None,
        "faults": [fault] if fault else [],
        "transcripts": [],
        "episodes": [],
        "submission": [],
        "films": {},
        "pictures": {},
    }
    if folder is None:
        return found
    transcripts = read_transcripts(folder, adapter) if adapter else []
    for most in (_MOST_TEXT, _LESS_TEXT):
        shower = Shower(most)
        found["transcripts"] = [shower.transcript(transcript) for transcript in transcripts]
        if len(msgspec.json.encode(found["transcripts"])) <= _MOST_CASE:
            break
    found["episodes"] = _episodes(folder.episodes)
    found["submission"] = list(_files(folder.submission))
    found["films"] = pictures.take(iter(sorted(folder.pictures.glob("*.webp"))))
    found["pictures"] = pictures.take(iter(sorted(folder.renders.glob("*.png"))))
    return found


def _counts(by_count: Mapping[int, CountScore]) -> list[dict[str, Any]]:
    """Return the grade for each number of objects, with the interval of its solve rate."""
    return [
        {"count": count, **msgspec.to_builtins(one), "interval": wilson(one.solved, one.episodes)}
        for count, one in sorted(by_count.items())
        if 0 <= one.solved <= one.episodes > 0
    ]


def _adapter(record: Record) -> tuple[Backend | None, str | None]:
    """Return the adapter of the agent of a case, or why there is none."""
    if not record.case.has_agent:
        return None, None
    try:
        return backend(record.agent or record.case.backend), None
    except ValueError as error:
        return None, f"The transcript cannot be read here: {visible(str(error))}."


def _episodes(path: Path) -> list[dict[str, Any]]:
    """Return the episodes whose lines can be read."""
    try:
        lines = path.read_bytes().splitlines()[:_MOST_EPISODES]
    except OSError:
        return []
    found = []
    for line in lines:
        with suppress(*MALFORMED):
            episode = asdict(_EPISODE.decode(line))
            found.append(episode | {"error": visible(episode["error"] or "")})
    return found


def _files(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the files of a submission, `approach.py` first."""
    paths = sorted(folder.rglob("*"), key=lambda path: (path.name != "approach.py", path.as_posix()))
    for path in paths[:_MOST_FILES]:
        if path.is_symlink() or not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                raw = file.read(_MOST_SOURCE + 1)
        except OSError:
            continue
        name = visible(path.relative_to(folder).as_posix())
        if b"\0" in raw:
            yield {"name": name, "pieces": [("", "(not a text)")], "left_out": 0}
            continue
        text = visible(raw[:_MOST_SOURCE].decode("utf-8", "replace"))
        left_out = max(0, path.stat().st_size - _MOST_SOURCE)
        yield {"name": name, "pieces": coloured(path.name, text), "left_out": left_out}
