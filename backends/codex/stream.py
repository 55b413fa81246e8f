"""Reads the stream of Codex, and its log on standard error.

Measured with Codex 0.169.0 and a scripted model server:

- The stream does not distinguish model responses: it has items (texts, tool calls). The tokens in its last line are
  those of the whole conversation, including sessions before a resumption, so they are not read. The log on standard
  error has a line for each response with its tokens, also for subagents.
- Calls of one response run one after the other. The stream does not show a call of an unknown tool, one whose arguments
  do not fit, or one of `view_image`. It shows only the call that starts a subagent, not what the subagent does.
- `turn.completed` or `turn.failed` is the last event. An `error` before `turn.failed` says the same.
- The only sign of a compaction is a warning, which is an item of kind `error`. Other versions have an item of its own.
- The HTTP status of an error is in the text, if anywhere. With status 400, the text is the body of the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw

from backends import events as ev
from backends.base import plain_name
from backends.codex.quoting import inner_command
from backends.reading.errors import error_events, error_kind
from backends.reading.lines import LinePart, ObjectReader, OtherObject, other_events


def decode(line: bytes) -> tuple[ev.Event, ...]:
    """See `Backend.decode`."""
    read = _READER.read(line)
    return _READINGS[type(read)](read, line)


def read_stderr(text: str) -> tuple[ev.Event, ...]:
    """See `Backend.read_stderr`."""
    turns = (
        ev.TurnCounted(
            turn=f"{one[7]} {one[1]}", usage=_tokens(*map(int, one.group(2, 3, 4, 5, 6))), model=one[8] or ""
        )
        for one in _RESPONSE.finditer(text)
    )
    failed = (ev.McpStatus(server=found[1], status="failed") for found in _MCP_FAILED.finditer(text))
    return (*turns, *failed)


def namespace(server: str) -> str:
    """Return the namespace in which Codex offers the tools of an MCP server."""
    return f"mcp__{plain_name(server)}"


def tool_name(server: str, tool: str) -> str:
    """See `Backend.tool_name`."""
    return f"{namespace(server)}.{plain_name(tool)}"


_RESPONSE = re.compile(
    r"^(\S{1,40}) +INFO codex_otel\.trace_safe: .*?\binput_token_count=(\d{1,15}) output_token_count=(\d{1,15})"
    r" cached_token_count=(\d{1,15}) cache_write_token_count=(\d{1,15}) reasoning_token_count=(\d{1,15})"
    r" .*?conversation\.id=(\S{1,60})(?: .*?\bmodel=(\S{1,200}))?",
    re.MULTILINE,
)
_MCP_FAILED = re.compile(r"^Error: .*required MCP servers failed to initialize: ([\w-]{1,200}):", re.MULTILINE)

_MCP_WARNED = re.compile(
    r"\bMCP (?:client|server) (?:for )?[`']?([\w-]{1,200})[`']? (?:failed to start|timed out)"
    r"|\bThe ([\w-]{1,200}) MCP server is not logged in"
)
_MCP_INCOMPLETE = re.compile(r"\bMCP startup incomplete \(failed: ([\w, -]{1,1000})\)")
"""What the CLI warns of an MCP server, and of several."""

_NOTHING = Raw(b'""')
_SHELL, _PATCH, _WEB_SEARCH = "exec_command", "apply_patch", "web_search"
_DONE_WELL = {"completed", ""}
"""What the status of a call that went well may be. A web search has none."""


def _agent_tool(tool: str) -> str:
    return f"multi_agent_v1.{tool}"


class _CodexMessage(LinePart, tag="agent_message"):
    text: str = ""

    def events(self) -> tuple[ev.Event, ...]:
        return (ev.Text(turn=_TURN, text=self.text),)


class _CodexReasoning(LinePart, tag="reasoning"):
    text: str = ""

    def events(self) -> tuple[ev.Event, ...]:
        return (ev.Thinking(turn=_TURN, text=self.text),)


class _Command(LinePart, tag="command_execution"):
    id: str = ""
    command: str = ""

    def events(self) -> tuple[ev.Event, ...]:
        return (_call(self.id, _SHELL, {"cmd": inner_command(self.command)}),)


class _McpCall(LinePart, tag="mcp_tool_call"):
    id: str = ""
    server: str = ""
    tool: str = ""
    arguments: Any = None

    def events(self) -> tuple[ev.Event, ...]:
        return (_call(self.id, tool_name(self.server, self.tool), self.arguments),)


class _AgentCall(LinePart, tag="collab_tool_call"):
    id: str = ""
    tool: str = ""
    prompt: str | None = None

    def events(self) -> tuple[ev.Event, ...]:
        started = (ev.SubagentStarted(call_id=self.id),) if self.tool == "spawn_agent" else ()
        return (_call(self.id, _agent_tool(self.tool), {"message": self.prompt}), *started)


class _FileChange(LinePart, tag="file_change"):
    id: str = ""
    changes: Any = None

    def events(self) -> tuple[ev.Event, ...]:
        return (_call(self.id, _PATCH, {"changes": self.changes}),)


class _WebSearch(LinePart, tag="web_search"):
    id: str = ""
    query: str = ""

    def events(self) -> tuple[ev.Event, ...]:
        return (_call(self.id, _WEB_SEARCH, {"query": self.query}),)


def _call(call_id: str, name: str, arguments: Any) -> ev.ToolCall:
    return ev.ToolCall(turn=_TURN, call_id=call_id, name=name[:200], arguments=arguments)


class _Done(LinePart):
    """A tool call that has ended. Most of its bytes repeat the arguments; this struct skips them."""

    id: str = ""
    status: str = ""

    def events(self) -> tuple[ev.Event, ...]:
        result = ev.ToolResult(
            call_id=self.id, content=self.output(), is_error=self.failed(), name=self.tool_name()[:200]
        )
        return (result,)

    def failed(self) -> bool:
        """Return whether the call went wrong."""
        return self.status not in _DONE_WELL

    def tool_name(self) -> str:
        """Return the name of the tool. A call may show by this item alone."""
        return ""

    def output(self) -> Raw:
        """Return the result of the call."""
        return _NOTHING


class _CommandDone(_Done, tag="command_execution"):
    aggregated_output: Raw = _NOTHING
    exit_code: int | None = None

    def events(self) -> tuple[ev.Event, ...]:
        """See `_Done`. A command that was not approved was not run."""
        denied = (ev.PermissionDenied(tool=_SHELL, call_id=self.id),) if self.status == "declined" else ()
        return (*super().events(), *denied)

    def failed(self) -> bool:
        """See `_Done`. Without a status the exit code tells."""
        return super().failed() if self.status else bool(self.exit_code)

    def tool_name(self) -> str:
        """See `_Done`."""
        return _SHELL

    def output(self) -> Raw:
        return self.aggregated_output


class _CodexResult(LinePart):
    content: Raw = _NOTHING


class _CodexFault(LinePart):
    message: str = ""


class _McpDone(_Done, tag="mcp_tool_call"):
    server: str = ""
    tool: str = ""
    result: _CodexResult | None = None
    error: _CodexFault | None = None

    def tool_name(self) -> str:
        """See `_Done`."""
        return tool_name(self.server, self.tool)

    def failed(self) -> bool:
        """See `_Done`. Without a status the error tells."""
        return super().failed() if self.status else self.error is not None

    def output(self) -> Raw:
        """Return the server's answer, or else the reason why there is none."""
        if self.result:
            return self.result.content
        return Raw(msgspec.json.encode(self.error.message)) if self.error else _NOTHING


class _AgentDone(_Done, tag="collab_tool_call"):
    tool: str = ""

    def events(self) -> tuple[ev.Event, ...]:
        """See `_Done`. A subagent may show by this item alone."""
        started = (ev.SubagentStarted(call_id=self.id),) if self.tool == "spawn_agent" else ()
        return (*started, *super().events())

    def tool_name(self) -> str:
        """See `_Done`."""
        return _agent_tool(self.tool)


class _FileChanged(_Done, tag="file_change"):
    def tool_name(self) -> str:
        """See `_Done`."""
        return _PATCH


class _WebSearched(_Done, tag="web_search"):
    def tool_name(self) -> str:
        """See `_Done`."""
        return _WEB_SEARCH


class _Warning(LinePart, tag="error"):
    """A warning of the CLI: none is an error of the session."""

    message: str = ""

    def events(self) -> tuple[ev.Event, ...]:
        compacted = (ev.Compaction(sign="warning"),) if _COMPACTED in self.message else ()
        failed = (ev.McpStatus(server=server, status="failed") for server in _servers_missed(self.message))
        return (*compacted, *failed)


def _servers_missed(warning: str) -> list[str]:
    """Return the MCP servers that the CLI warns it has to do without."""
    listed = [server.strip() for servers in _MCP_INCOMPLETE.findall(warning) for server in servers.split(",")]
    return [*(one or other for one, other in _MCP_WARNED.findall(warning)), *listed]


class _ContextCompacted(LinePart, tag="context_compaction"):
    def events(self) -> tuple[ev.Event, ...]:
        return (ev.Compaction(),)


_ItemDone = _CommandDone | _McpDone | _AgentDone | _FileChanged | _WebSearched | _Warning | _ContextCompacted


class _Started(LinePart, tag="item.started"):
    item: _Command | _McpCall | _AgentCall | _FileChange | _WebSearch | OtherObject | None = None


class _Completed(LinePart, tag="item.completed"):
    item: _CodexMessage | _CodexReasoning | _ItemDone | OtherObject | None = None


class _Thread(LinePart, tag="thread.started"):
    thread_id: str = ""


class _TurnCompleted(LinePart, tag="turn.completed"): ...


class _TurnFailed(LinePart, tag="turn.failed"):
    error: _CodexFault | None = None


class _CodexError(LinePart, tag="error"):
    message: str = ""


_Line = _Thread | _Started | _Completed | _TurnCompleted | _TurnFailed | _CodexError | OtherObject
_READER: ObjectReader[_Line] = ObjectReader(_Line)

_SILENT = {"turn.started", "item.updated", "item.plan.delta"}
"""Kinds of line without new information."""

_SILENT_ITEMS = {"error", "todo_list", "plan", "agent_message", "reasoning", "context_compaction"}
"""Items that are not steps of the session: a warning, a plan, and what is not complete yet."""

_COMPACTED = "multiple compactions can cause the model to be less accurate"
"""What the CLI warns of after each compaction."""

_TURN = ""
"""The turn of every item: the stream does not say which response an item belongs to."""


def _item(line: _Started | _Completed, raw: bytes) -> tuple[ev.Event, ...]:
    item = line.item
    if isinstance(item, OtherObject):
        return other_events(item, raw, silent=_SILENT_ITEMS)
    return item.events() if item else ()


def _error(line: _CodexError, _raw: bytes) -> tuple[ev.Event, ...]:
    retry = _RETRY.match(line.message)
    if retry is None:
        return _failure(line.message)
    cause = retry["cause"] or retry["earlier"] or ""
    found = _STATUS.search(cause)
    attempt, most = int(retry["attempt"] or retry["number"] or 0), int(retry["most"] or retry["all"] or 0)
    status = int(found[1]) if found else None
    return (ev.Retry(attempt=attempt, max_attempts=most, status=status, error=cause),)


_RETRY = re.compile(
    r"Reconnecting\.\.\. ?(?:(?P<attempt>\d{1,9})/(?P<most>\d{1,9})|[\w ]{0,80}?)(?: \((?P<cause>.{0,4096})\)|$)"
    r"|(?:stream error: )?(?P<earlier>.{0,4096}); retrying (?P<number>\d{1,9})/(?P<all>\d{1,9}) in\b",
    re.DOTALL,
)
"""What the CLI says of a retry, and what versions before 0.50 said."""
_STATUS = re.compile(r"\bstatus:? (\d{3})\b")
_PHRASES = {
    "reason: max_output_tokens": ev.ErrorKind.OUTPUT_TOKENS,
    "Connection failed: ": ev.ErrorKind.MODEL_UNREACHABLE,
    "experiencing high demand": ev.ErrorKind.MODEL_ERROR,
}
"""Codex's own texts for a response that its output limit cut, for a refused connection, and for status 5xx."""


def _failure(message: str) -> tuple[ev.Event, ...]:
    text, found = _body_message(message), _STATUS.search(message[:4096])
    status = 400 if text != message else int(found[1]) if found else None
    own = (kind for phrase, kind in _PHRASES.items() if phrase in text[:4096])
    return error_events(next(own, None) or error_kind(text, status), text, status)


def _body_message(text: str) -> str:
    """Return the message in the body of an error answer, or the text itself if it is not such a body."""
    try:
        message = json.loads(text)["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return text
    return message if isinstance(message, str) else text


def _turn_failed(line: _TurnFailed, _raw: bytes) -> tuple[ev.Event, ...]:
    message = line.error.message if line.error else ""
    return (*_failure(message), ev.SessionFinished(is_error=True, reason="turn.failed", text=message[:4096]))


def _tokens(sent: int, output: int, cached: int, written: int, reasoning: int) -> ev.Usage:
    """Return the tokens, each counted once. Codex includes cached tokens in the input, and reasoning in the output."""
    return ev.Usage(
        input_tokens=max(0, sent - cached - written),
        output_tokens=output,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
    )


_READINGS: dict[type, Callable[[Any, bytes], tuple[ev.Event, ...]]] = {
    _Thread: lambda line, _raw: (ev.SessionStarted(session_id=line.thread_id),),
    _Started: _item,
    _Completed: _item,
    _TurnCompleted: lambda _line, _raw: (ev.SessionFinished(succeeded=True, reason="turn.completed"),),
    _TurnFailed: _turn_failed,
    _CodexError: _error,
    OtherObject: partial(other_events, silent=_SILENT),
    ev.Malformed: partial(other_events, silent=_SILENT),
}
