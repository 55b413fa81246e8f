"""Compares two versions of a CLI: the shape of its events, and its requests to the model. Pure functions."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

_VOLATILE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22,27}|(?:ses|msg|call|prt)_\w+|\b[0-9a-f]{24,}\b|:\d{4,5}\b"
)
"""Ids and ports, which are new in every session."""

_TALK = ("system", "instructions", "messages", "input", "systemInstruction", "contents")
"""The fields of a request that hold what is said, over all wires."""


def shapes(stream: bytes) -> set[str]:
    """Return the event types in a stream with their fields, such as `assistant.message.content[].text`."""
    found: set[str] = set()
    for line in stream.split(b"\n"):
        if line.strip():
            event = _object(line)
            found.update(_paths(event, "/".join(_kind(event))) if event is not None else {"a line without an object"})
    return found


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _kind(event: dict[str, Any]) -> Iterator[str]:
    for part in (event, event.get("item"), event.get("part"), event.get("assistantMessageEvent")):
        if isinstance(part, dict):
            yield from (str(part[key]) for key in ("role", "type", "subtype", "tool") if isinstance(part.get(key), str))


def _paths(value: Any, path: str) -> Iterator[str]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner, f"{path}[]")


def changed_shapes(before: bytes, after: bytes) -> list[str]:
    """Return the types and fields that are new (`+`) or gone (`-`). Of a whole new or lost part, name only the top."""
    old, new = shapes(before), shapes(after)
    return [f"+ {path}" for path in _tops(new - old)] + [f"- {path}" for path in _tops(old - new)]


def _tops(paths: set[str]) -> list[str]:
    return sorted(path for path in paths if not any(path.startswith((f"{top}.", f"{top}[")) for top in paths))


def changed_request(before: bytes, after: bytes) -> list[str]:
    """Return the differences between two request bodies, as a unified diff of their readable forms."""
    old, new = readable(before), readable(after)
    return list(difflib.unified_diff(old, new, "pinned", "newest", lineterm="", n=2))


def readable(body: bytes) -> list[str]:
    """Return a request's body as lines: its settings, all its texts, and each tool with its schema, sorted by name."""
    request = json.loads(body)
    tools = [tool for given in request.pop("tools", []) for tool in given.get("functionDeclarations", [given])]
    talk = {key: request.pop(key) for key in _TALK if key in request}
    lines = ["# settings", *_json(request)]
    for key, value in talk.items():
        lines += [f"# {key}", *_texts(value)]
    for tool in sorted(tools, key=_name):
        lines += [f"# tool {_name(tool)}", *_texts(tool), *_json(_without_text(tool))]
    return [_VOLATILE.sub("…", line) for line in lines]


def _name(tool: dict[str, Any]) -> str:
    return str(tool.get("name") or tool.get("function", {}).get("name") or tool.get("type"))


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in messages and descriptions, line by line."""
    if isinstance(value, str):
        yield from value.splitlines()
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, dict):
        for key in ("role", "text", "content", "parts", "description", "function"):
            yield from _texts(value.get(key))


def _without_text(tool: dict[str, Any]) -> dict[str, Any]:
    inner = tool.get("function")
    kept = {key: value for key, value in tool.items() if key not in {"description", "function"}}
    return kept | _without_text(inner) if isinstance(inner, dict) else kept


def _json(value: Any) -> Sequence[str]:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
