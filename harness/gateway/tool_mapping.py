"""Maps the abstract calls of a script to whatever tools a request offers, judging by their argument schemas."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from harness.gateway.messages import Tool
from harness.gateway.script import ScriptedCall

PATH_KEYS: Final = ("file_path", "filePath", "path", "absolute_path")
"""How tools call the file they work on: Claude Code and Qwen; OpenCode; Pi; older Qwen."""


class UnknownTool(Exception):
    """No offered tool fits a call, or several do; the message names the call and the tools offered."""


class _Need(Struct, frozen=True):
    """The tool that a kind of call needs: one of `names` in its name, one key of each group among its arguments."""

    names: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]


_NEEDS: Final = {
    "write": _Need(("write",), (PATH_KEYS, ("content",))),
    "run": _Need(("bash", "shell", "exec", "command"), (("command",),)),
    "read": _Need(("read",), (PATH_KEYS,)),
}


def map_call(call: ScriptedCall, tools: Sequence[Tool], workspace: str) -> tuple[str, Mapping[str, Any]]:
    """The name of the offered tool that does what `call` says, and its arguments. Raises `UnknownTool`.

    Paths are made absolute, below `workspace`: the tools of every CLI take such ones, and some no other.
    """
    if call.kind in _NEEDS:
        path = posixpath.join(workspace, call.target)
        values = {**dict.fromkeys(PATH_KEYS, path), "content": call.content, "command": call.run}
        values["description"] = f"{call.kind} {call.target}"[:80]
        return _by_schema(call, tools, values)
    found = [tool for tool in tools if tool.name == call.target]
    if call.kind == "mcp":
        found = found or [tool for tool in tools if tool.name.endswith(f"_{call.target}")]
    return _only(found, call, tools).name, call.arguments or {}


def _by_schema(call: ScriptedCall, tools: Sequence[Tool], values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The tool whose schema takes exactly what the call has to give."""
    need = _NEEDS[call.kind]
    found: list[Tool] = []
    for tool in tools:
        keys = _keys(tool, need)
        name = tool.name.lower()
        if keys and set(tool.schema.get("required", ())) <= keys and any(word in name for word in need.names):
            found.append(tool)
    tool = _only([tool for tool in found if tool.name.lower() in need.names] or found, call, tools)
    return tool.name, {key: values[key] for key in sorted(_keys(tool, need))}


def _keys(tool: Tool, need: _Need) -> set[str]:
    """The arguments to fill in: one of each group, and a description where there is room; empty if a group lacks."""
    properties = tool.schema.get("properties", {})
    filled = [[key for key in group if key in properties][:1] for group in need.keys]
    if not all(filled):
        return set()
    return {key for group in filled for key in group} | ({"description"} & set(properties))


def _only(found: Sequence[Tool], call: ScriptedCall, tools: Sequence[Tool]) -> Tool:
    if len(found) == 1:
        return found[0]
    wanted = f"the script's `{call.kind}: {call.target[:80]}`"
    fault = "fits several of the tools offered" if found else "fits none of the tools offered"
    names = [tool.name for tool in found or tools]
    raise UnknownTool(f"{wanted} {fault}: {', '.join(names)}")
