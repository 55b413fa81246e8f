"""Maps the abstract calls of a script to the tools that a request offers, by their argument schemas."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from harness.gateway.messages import OfferedTool
from harness.gateway.script import ScriptedCall

PATH_KEYS: Final = ("file_path", "filePath", "path", "absolute_path", "files")
"""The argument names for a file's path in the tools of: Claude Code and Qwen; OpenCode; Pi; older Qwen; Cline."""

COMMAND_KEYS: Final = ("command", "cmd", "commands")
"""The argument names for a shell command in the tools of: most CLIs; Codex; Cline."""

CONTENT_KEYS: Final = ("content", "file_text", "new_text")
"""The argument names for a file's text in the tools of: most CLIs; GitHub Copilot CLI; Cline."""


class UnknownTool(Exception):
    """No offered tool fits a call, or several do. The message names the call and the offered tools."""


class _Need(Struct, frozen=True):
    """The tool that a kind of call needs. It takes one argument of each group.

    Its name contains one of `names`, or is one of `whole` (GitHub Copilot CLI).
    """

    names: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]
    whole: tuple[str, ...] = ()


_NEEDS: Final = {
    "write": _Need(("write", "editor"), (PATH_KEYS, CONTENT_KEYS), whole=("create",)),
    "run": _Need(("bash", "shell", "exec", "command"), (COMMAND_KEYS,)),
    "read": _Need(("read",), (PATH_KEYS,), whole=("view",)),
}


def map_call(call: ScriptedCall, tools: Sequence[OfferedTool], workspace: str) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the offered tool that does what `call` says, and its arguments. Raise `UnknownTool`.

    Paths become absolute, below `workspace`, because the tools of some CLIs take no others. If no tool writes or reads
    files (Codex), the shell does it.
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
    values |= {**dict.fromkeys(CONTENT_KEYS, call.content), "description": f"{call.kind} {call.target}"[:80]}
    return tool.name, {key: _fitted(values[key], tool.schema["properties"][key]) for key in sorted(_keys(tool, need))}


def _fitted(value: Any, schema: Any) -> Any:
    """Return the value in a list if the schema asks for one: alone, or as the path of an object."""
    if not isinstance(schema, Mapping) or schema.get("type") != "array":
        return value
    inner = [key for key in PATH_KEYS if key in schema.get("items", {}).get("properties", {})]
    return [{inner[0]: value} if inner else value]


def is_offered(call: ScriptedCall, tools: Sequence[OfferedTool]) -> bool:
    """Return whether the tool that an `mcp` or `tool` call names is offered."""
    return bool(_named(call, tools))


def _named(call: ScriptedCall, tools: Sequence[OfferedTool]) -> list[OfferedTool]:
    """Return the tools of that name. An MCP tool's name may have its server's name in front.

    A translated request has `NAMESPACE__NAME` for `NAMESPACE.NAME`, because only OpenAI Responses has namespaces.
    """
    spellings = (call.target, call.target.replace(".", "__"))
    found = [tool for tool in tools if tool.name in spellings]
    if call.kind == "mcp" and not found:
        found = [
            tool for tool in tools if tool.name.endswith((f"_{call.target}", f".{call.target}", f"-{call.target}"))
        ]
    return found


def _shell_command(call: ScriptedCall, path: str) -> str:
    """Return the POSIX shell command that writes or reads the file. It writes all content unchanged, except NUL."""
    if call.kind == "read":
        return f"cat {shlex.quote(path)}"
    folder = shlex.quote(posixpath.dirname(path))
    return f"mkdir -p {folder} && printf %s {shlex.quote(call.content or '')} > {shlex.quote(path)}"


def _fitting(need: _Need, tools: Sequence[OfferedTool]) -> list[OfferedTool]:
    """Return the tools whose schemas fit the call's arguments. If one has an exact name, return only that one."""
    found: list[OfferedTool] = []
    for tool in tools:
        keys = _keys(tool, need)
        name = tool.name.lower()
        named = name in need.whole or any(word in name for word in need.names)
        if keys and set(tool.schema.get("required", ())) <= keys and named:
            found.append(tool)
    return [tool for tool in found if tool.name.lower() in need.names] or found


def _keys(tool: OfferedTool, need: _Need) -> set[str]:
    """Return the arguments to fill in: one of each group, and a description if the tool takes one.

    Return nothing if the tool lacks a group.
    """
    properties = tool.schema.get("properties", {})
    filled = [[key for key in group if key in properties][:1] for group in need.keys]
    if not all(filled):
        return set()
    return {key for group in filled for key in group} | ({"description"} & set(properties))


def _only(found: Sequence[OfferedTool], call: ScriptedCall, tools: Sequence[OfferedTool]) -> OfferedTool:
    if len(found) == 1:
        return found[0]
    wanted = f"the script's `{call.kind}: {call.target[:80]}`"
    fault = "fits several of the offered tools" if found else "fits none of the offered tools"
    names = [tool.name for tool in found or tools]
    raise UnknownTool(f"{wanted} {fault}: {', '.join(names)}")
