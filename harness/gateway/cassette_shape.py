"""What a recorded answer needs of the request that it answers again.

A request is compared by its first message, the results of its tool calls, and the tools that the answer calls. What
differs between machines, users, run folders and days does not count. Cassettes hold digests of it, and no text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from harness.gateway.messages import ModelRequest, OfferedTool, RequestToolResult

_DAYS = r"(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?"
_MONTHS = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?)"
)
_ZONES = r"(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Etc|Europe|Indian|Pacific|US)/[\w+/-]+"
_OF_THE_MACHINE: Final = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"[ \t]+", " "),
        (r"(<(?:shell|timezone|current_date)>)[^<\n]*", r"\1"),  # Codex tells these of its machine
        (rf"\b{_ZONES}|\b(?:UTC|GMT|CES?T|[EMP][SD]T)\b", "ZONE"),
        (rf"\b{_DAYS}\b,?|\b{_MONTHS}\b(?=\s+\d)|(?<=\d )\b{_MONTHS}\b", "DATE"),
        (
            r"\b\d{4}-\d\d?-\d\d?(?:[T ]\d\d:\d\d[\d:.]*)?Z?|\b\d\d?([/.])\d\d?\1\d{4}\b|\b\d\d?:\d\d(?::\d\d)?\b",
            "DATE",
        ),
        (r"\b\d\d? (?=DATE)", ""),
        (r"(?<=DATE )(?:\d\d?(?:,? \d{4})?|\d{4})\b", "DATE"),
        (r"DATE(?: DATE)+", "DATE"),
        (r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|\b(?=[a-f]*\d)[0-9a-f]{12,}\b", "ID"),
        (r"\b(?:localhost|127\.0\.0\.1):\d+", "ADDRESS"),
        (r"(?<![\w/.:])(?:~|/(?:home|Users|root|tmp|var|opt|usr|mnt|private))/[\w.@+/-]*", "PATH"),
        (r"\bv?\d+\.\d+\.\d+[\w.+-]*", "VERSION"),
    )
)
_NUMBERS = re.compile(r"\bv?\d(?:[\w.,:+-]*\w)?")
_ANNOTATIONS: Final = {"description", "title", "examples", "$schema", "$comment"}
"""The keys of a JSON schema that change no argument, if their value is a text or a list."""

_SHOWN: Final = 3
"""How many of the lines that differ a message shows."""


class Shape(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request without what may differ between two sessions.

    `opening` are digests of the lines of the conversation's first message. Numbers in it do not count, since most are
    limits, dates and versions. `tools` are digests of the arguments of each tool that is offered, by its name.
    """

    opening: tuple[str, ...] = ()
    tools: dict[str, str] = {}


def shape_of(request: ModelRequest, room: str) -> Shape:
    """Return the shape of a request from a session in this room."""
    return Shape(opening=tuple(_lines(request.opening, room)), tools=_tools(request.tools, room))


def conversation_of(request: ModelRequest, room: str) -> str:
    """Return a name for the request's conversation: the same in each room and on each day, if its opening is."""
    return _digest(_anywhere(request.opening, room), 16)


def missing(recorded: Shape, opening: Sequence[str]) -> int:
    """Return how many lines of the recorded first message, and of the one with these digests, the other lacks."""
    return len(set(recorded.opening) ^ set(opening))


def differences(recorded: Shape, request: ModelRequest, room: str, *, called: Sequence[str]) -> list[str]:
    """Return what keeps an answer that calls these tools from fitting a request, as phrases for a message."""
    lines = _lines(request.opening, room)
    new = [line for digest, line in lines.items() if digest not in recorded.opening]
    gone = len(set(recorded.opening) - set(lines))
    found = []
    if new:
        more = f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
        shown = ", ".join(repr(line[:120]) for line in new[:_SHOWN])
        found.append(f"its first message has lines that were not recorded ({shown}{more})")
    if gone:
        found.append(f"its first message lacks {gone} of the recorded lines")
    tools = _tools(request.tools, room)
    for name in dict.fromkeys(called):
        if name in recorded.tools and name not in tools:
            found.append(f"it does not offer the tool {name}, which the answer calls")
        elif name in recorded.tools and tools[name] != recorded.tools[name]:
            found.append(f"the tool {name}, which the answer calls, takes other arguments")
    return found


def different_results(recorded: Sequence[bool], results: Sequence[RequestToolResult]) -> list[str]:
    """Return how the results of tool calls differ from the recorded ones: in number, or in being errors.

    Their texts are not compared, since they hold times, paths and the names of processes.
    """
    if len(recorded) != len(results):
        return [f"it has {len(results)} results of tool calls, and {len(recorded)} were recorded"]
    found = []
    for number, (was_error, result) in enumerate(zip(recorded, results, strict=True), start=1):
        if was_error is not result.is_error:
            ended = "failed" if result.is_error else "succeeded"
            found.append(f"tool call {number} {ended}, unlike the recorded one: {result.text[:200]!r}")
    return found


def _anywhere(text: str, room: str) -> str:
    """Return a text without what depends on the machine, the user, the room and the day."""
    if room:
        text = text.replace(room, "ROOM")
    for pattern, instead in _OF_THE_MACHINE:
        text = pattern.sub(instead, text)
    return text


def _lines(opening: str, room: str) -> dict[str, str]:
    """Return the lines of a first message that are not empty, each by its digest."""
    lines = _anywhere(opening, room).splitlines()
    told = (" ".join(_NUMBERS.sub("0", line).split()) for line in lines)
    return {_digest(text, 8): line.strip() for text, line in zip(told, lines, strict=True) if text}


def _tools(tools: Sequence[OfferedTool], room: str) -> dict[str, str]:
    return {tool.name: _digest(_anywhere(_json(_bare(tool.schema)), room), 8) for tool in tools}


def _bare(schema: Any) -> Any:
    """Return a schema without its annotations. A property may have the name of one; then its value is a schema."""
    if isinstance(schema, Mapping):
        return dict(_told(schema))
    return [_bare(inner) for inner in schema] if isinstance(schema, list) else schema


def _told(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in schema.items():
        if key not in _ANNOTATIONS or isinstance(value, Mapping):
            yield key, _bare(value)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
