"""What is taken out of an answer when it is recorded, so that it can be played in another place and on another day.

The room, which is the folder above the workspace, becomes a mark. Whoever plays the answer puts another room in its
place. The times at which OpenAI's services made an answer become 0. Everything else stays as it was, byte for byte.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from harness.gateway.wires.base import dumps

_PLAIN = re.compile(r"[\w./+@,=:-]+", re.ASCII)
_TIMES = re.compile(r'(?<!\\)("(?:created|created_at|completed_at)"\s*:\s*)\d+(?:\.\d+)?')
_TIMED: Final = ("openai_chat", "openai_responses")
"""The wires whose answers have a time. On these, the arguments of tools are texts, so that no key of them looks so."""

_DATA: Final = "data:"

Key = str | int


class Portable(Struct, frozen=True):
    """An answer that fits any room. `mark` stands for the room; it is `None` if the answer does not name the room."""

    text: str
    mark: str | None = None


def room_of(workspace: str) -> str:
    """Return the folder that holds workspace, home and renders, as the CLI sees it."""
    parent = posixpath.dirname(workspace)
    return workspace if parent in {"", "/"} else parent


def is_plain(room: str) -> bool:
    """Return whether a path looks the same in JSON, in JSON that is a text inside JSON, and in a shell."""
    return _PLAIN.fullmatch(room) is not None


def portable(text: str, room: str, wire: str) -> Portable:
    """Return an answer without the room and the time of its recording. The room must be a plain path, or empty."""
    if wire in _TIMED:
        text = _TIMES.sub(r"\g<1>0", text)
    if not room:
        return Portable(text)
    named = re.compile(re.escape(room) + r"(?![\w.-])")
    text = _gathered(text, named)
    if not named.search(text):
        return Portable(text)
    mark = "@room@"
    while mark in text or placed(Portable(named.sub(mark, text), mark), room) != text:
        mark = f"@{mark}@"  # what stands beside the room could be read as a part of the mark
    return Portable(named.sub(mark, text), mark)


def placed(answer: Portable, room: str) -> str:
    """Return the answer as it reads in this room."""
    return answer.text if answer.mark is None else answer.text.replace(answer.mark, room)


class _Leaf(Struct, frozen=True):
    """A text inside a JSON document: in which line it is, the keys that lead to it, and where its text begins."""

    line: int
    keys: tuple[Key, ...]
    start: int
    text: str


def _gathered(text: str, named: re.Pattern[str]) -> str:
    """Return a stream with each path in one event. Services cut texts into pieces, and a path with them.

    Pieces of one text have the same keys in consecutive events. A path moves to the event in which it begins.
    """
    lines = text.split("\n")
    documents = dict(_documents(lines))
    texts = defaultdict[tuple[Key, ...], list[_Leaf]](list)
    for number, document in documents.items():
        for keys, leaf in _leaves(document, ()):
            before = texts[keys]
            start = before[-1].start + len(before[-1].text) if before else 0
            before.append(_Leaf(number, keys, start, leaf))
    changed = {number for pieces in texts.values() for number in _moved(pieces, named, documents, lines)}
    for number in changed:
        lines[number] = (f"{_DATA} " if lines[number].startswith(_DATA) else "") + dumps(documents[number])
    return "\n".join(lines)


def _documents(lines: list[str]) -> Iterator[tuple[int, Any]]:
    """Yield the JSON of each event, or of the whole body if it is one line, with the number of its line."""
    for number, line in enumerate(lines):
        try:
            yield number, json.loads(line.removeprefix(_DATA))
        except (ValueError, RecursionError):
            continue


def _leaves(value: Any, keys: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], str]]:
    if isinstance(value, str):
        yield keys, value
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*keys, key))


def _moved(pieces: list[_Leaf], named: re.Pattern[str], documents: dict[int, Any], lines: list[str]) -> Iterator[int]:
    """Move each path that these pieces of a text share into the piece in which it begins. Yield the changed lines."""
    whole = "".join(piece.text for piece in pieces)
    found = [match.span() for match in named.finditer(whole)]
    if not found:
        return
    for piece in pieces:
        kept = _kept(piece, whole, found)
        written_otherwise = named.search(kept) and not named.search(lines[piece.line])
        if kept != piece.text or written_otherwise:
            _put(documents[piece.line], piece.keys, kept)
            yield piece.line


def _kept(piece: _Leaf, whole: str, found: list[tuple[int, int]]) -> str:
    """Return the text of a piece, with the rest of a path that begins in it, and without that of an earlier one."""
    begins, ends = piece.start, piece.start + len(piece.text)
    start, end = begins, ends
    for first, after in found:
        if first < begins < after:
            start = min(after, ends)
        if begins <= first < ends < after:
            end = after
    return whole[start:end]


def _put(document: Any, keys: tuple[Key, ...], text: str) -> None:
    for key in keys[:-1]:
        document = document[key]
    document[keys[-1]] = text
