"""Maps the abstract calls of a script to whatever tools a request offers, judging by their argument schemas."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from harness.gateway.messages import OfferedTool
from harness.gateway.script import ScriptedCall

PATH_KEYS: Final = ("file_path", "filePath", "path", "absolute_path")
"""How tools call the file they work on: Claude Code and Qwen; OpenCode; Pi; older Qwen."""

COMMAND_KEYS: Final = ("command", "cmd")
"""How tools call a shell command: most; Codex."""


class UnknownTool(Exception):
    """No offered tool fits a call, or several do; the message names the call and the tools offered."""


class _Need(Struct, frozen=True):
    """The tool that a kind of call needs: one of `names` in its name, one key of each group among its arguments."""

    names: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]


_NEEDS: Final = {
    "write": _Need(("write",), (PATH_KEYS, ("content",))),
    "run": _Need(("bash", "shell", "exec", "command"), (COMMAND_KEYS,)),
    "read": _Need(("read",), (PATH_KEYS,)),
}


def map_call(call: ScriptedCall, tools: Sequence[OfferedTool], workspace: str) -> tuple[str, Mapping[str, Any]]:
    """The name of the offered tool that does what `call` says, and its arguments. Raises `UnknownTool`.

    Paths are made absolute, below `workspace`: the tools of every CLI take such ones, and some no other. Where no tool
    writes or reads files (Codex), the shell does.
    """
    if call.kind not in _NEEDS:
        return _only(_named(call, tools), call, tools).name, call.arguments or {}
    path = posixpath.join(workspace, call.target)
    need, command = _NEEDS[call.kind], call.run
    found = _fitting(need, tools)
    if not found and call.kind != "run":
        need, command = _NEEDS["run"], _shell_command(call, path)
        found = _fitting(need, tools)
    tool = _only(found, call, tools)
    values = {**dict.fromkeys(PATH_KEYS, path), **dict.fromkeys(COMMAND_KEYS, command)}
    values |= {"content": call.content, "description": f"{call.kind} {call.target}"[:80]}
    return tool.name, {key: values[key] for key in sorted(_keys(tool, need))}


def is_offered(call: ScriptedCall, tools: Sequence[OfferedTool]) -> bool:
    """Whether the tool that an `mcp` or `tool` call names is there."""
    return bool(_named(call, tools))


def _named(call: ScriptedCall, tools: Sequence[OfferedTool]) -> list[OfferedTool]:
    """The tools of that name, or of an MCP server's tool of that name behind its server's."""
    found = [tool for tool in tools if tool.name == call.target]
    if call.kind == "mcp" and not found:
        found = [tool for tool in tools if tool.name.endswith((f"_{call.target}", f".{call.target}"))]
    return found


def _shell_command(call: ScriptedCall, path: str) -> str:
    """What writes or reads the file in a POSIX shell; content reaches it unchanged, but for NUL."""
    if call.kind == "read":
        return f"cat {shlex.quote(path)}"
    folder = shlex.quote(posixpath.dirname(path))
    return f"mkdir -p {folder} && printf %s {shlex.quote(call.content or '')} > {shlex.quote(path)}"


def _fitting(need: _Need, tools: Sequence[OfferedTool]) -> list[OfferedTool]:
    """The tools whose schemas take exactly what there is to give; one that bears a name exactly goes before others."""
    found: list[OfferedTool] = []
    for tool in tools:
        keys = _keys(tool, need)
        name = tool.name.lower()
        if keys and set(tool.schema.get("required", ())) <= keys and any(word in name for word in need.names):
            found.append(tool)
    return [tool for tool in found if tool.name.lower() in need.names] or found


def _keys(tool: OfferedTool, need: _Need) -> set[str]:
    """The arguments to fill in: one of each group, and a description where there is room; empty if a group lacks."""
    properties = tool.schema.get("properties", {})
    filled = [[key for key in group if key in properties][:1] for group in need.keys]
    if not all(filled):
        return set()
    return {key for group in filled for key in group} | ({"description"} & set(properties))


def _only(found: Sequence[OfferedTool], call: ScriptedCall, tools: Sequence[OfferedTool]) -> OfferedTool:
    if len(found) == 1:
        return found[0]
    wanted = f"the script's `{call.kind}: {call.target[:80]}`"
    fault = "fits several of the tools offered" if found else "fits none of the tools offered"
    names = [tool.name for tool in found or tools]
    raise UnknownTool(f"{wanted} {fault}: {', '.join(names)}")
