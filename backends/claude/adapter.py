"""Calls and configures Claude Code: `claude -p --output-format stream-json`.

Measured with Claude Code 2.1.332:

- For a model that it does not know, it invents a cost. The gateway's ledger has the real one.
- By default, it compacts a conversation only when the service refuses a request as too long. A window in
  `CLAUDE_CODE_AUTO_COMPACT_WINDOW` (at least 100,000; the model's context bounds it) makes it compact before a request.
  It then compacts once fewer than 13,000 tokens of its room are left. The room is the context without the output limit,
  and at most 20,000 tokens of that limit count. `CLAUDE_AUTOCOMPACT_PCT_OVERRIDE` lowers the threshold to a percentage
  of the room. Alone, it changes nothing.
- It compacts a conversation that the service refuses, and asks again for a summary that lacks `<summary>`.
- When it resumes a conversation, its totals include those of the earlier process, even of one that was killed.
- With `ENABLE_TOOL_SEARCH`, it may offer a tool only by its name, and offers a tool `DeferredToolPlaceholder` that is
  none. A service that does not know `defer_loading` would let the model call it.
- With `CLAUDE_CODE_THINKING_DISPLAY_UPDATES`, it asks for `thinking.display: updates`, and again without if that fails.
- A subagent runs in the background. The CLI takes another turn when it ends, and reports a result for each reply.
- It keeps a conversation in `.claude/projects/FOLDER/ID.jsonl` and writes that file at intervals. A CLI that is killed
  early may not have written it yet. Without the file, `--resume ID` ends at once ("No conversation found").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from glob import escape
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from backends import events as ev
from backends.base import Backend, Capabilities, NpmPackage, ReportingQuirks, SessionSpec, plain_name
from backends.claude import stream
from backends.options import read_options


class ClaudeOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tools` are the built-in tools that the agent gets. `max_retries` is how often a failed request is repeated.

    `system_prompt` replaces the CLI's own; `None` keeps it. `compact_at` is the percentage of the context, without the
    room for an answer, from which on the CLI compacts the conversation; `None`: only when a request is refused as too
    long. `max_output_tokens` is the most that one response may have; `None`: `SessionSpec.output_limit`.
    """

    tools: Annotated[list[str], Meta(min_length=1)] = field(
        default_factory=lambda: ["Bash", "Read", "Write", "Edit", "Glob", "Grep", "Task"]
    )
    max_retries: Annotated[int, Meta(ge=0)] = 1
    system_prompt: str | None = None
    compact_at: Annotated[int, Meta(ge=1, le=100)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None


class Claude(Backend):
    """The adapter of Claude Code."""

    name = "claude"
    installation = NpmPackage(
        package="@anthropic-ai/claude-code",
        executable="claude",
        licence="proprietary: Anthropic's commercial terms",
        megabytes=384,
    )
    options = ClaudeOptions
    capabilities = Capabilities(mcp=True, resume=True, subagents=True, wires=("anthropic_messages",), compact=True)
    own_limits = stream.OWN_LIMITS
    quirks = ReportingQuirks(hides_subagents=True, totals_at_end=True, totals_go_on=True, summaries_tried=2)
    compact_prompt = "/compact"

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. The CLI reads only the workspace's settings, and only Proctor's MCP servers."""
        options = self._options(spec)
        return [
            spec.executable,
            *("-p", "--output-format", "stream-json", "--verbose"),
            *("--model", spec.model, "--dangerously-skip-permissions"),
            *("--tools", ",".join(options.tools)),
            *("--setting-sources", "project"),
            *("--mcp-config", _mcp_config(spec), "--strict-mcp-config"),
            *(["--system-prompt-file", _system_prompt(spec)] if options.system_prompt else []),
            *(["--resume", spec.resume] if spec.resume else []),
        ]

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. The CLI reads settings and CLAUDE.md only in the workspace."""
        servers = {server.name: {"type": "http", "url": server.url} for server in spec.mcp}
        options = self._options(spec)
        allowed = [*options.tools, *(f"mcp__{plain_name(server.name)}" for server in spec.mcp)]
        settings = {"permissions": {"allow": allowed}, "disableAllHooks": True, "includeCoAuthoredBy": False}
        files = {
            _mcp_config(spec): json.dumps({"mcpServers": servers}, indent=2),
            f"{spec.workspace}/.claude/settings.json": json.dumps(settings, indent=2),
        }
        if spec.instructions:
            files[f"{spec.workspace}/CLAUDE.md"] = spec.instructions
        if options.system_prompt:
            files[_system_prompt(spec)] = options.system_prompt
        return files

    def environment(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.environment`.

        Every side model is the served one, because requests for other models fail. The CLI uses the context size only
        for models that are not named `claude-…`. It refuses uid 0 unless `IS_SANDBOX` is set. The code that starts the
        CLI sets it.
        """
        options = self._options(spec)
        variables = {
            "ANTHROPIC_BASE_URL": spec.model_url,
            "ANTHROPIC_AUTH_TOKEN": "sealed",
            "ANTHROPIC_API_KEY": "",
            **{f"ANTHROPIC_DEFAULT_{kind}_MODEL": spec.model for kind in ("OPUS", "SONNET", "HAIKU", "FABLE")},
            "ANTHROPIC_SMALL_FAST_MODEL": spec.model,
            "CLAUDE_CODE_SUBAGENT_MODEL": spec.model,
            "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(spec.context),
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(options.max_output_tokens or spec.output_limit),
            "CLAUDE_CODE_MAX_RETRIES": str(options.max_retries),
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "CLAUDE_CODE_THINKING_DISPLAY_UPDATES": "0",
            "DISABLE_TELEMETRY": "1",
            "ENABLE_TOOL_SEARCH": "false",
            "MCP_CONNECTION_NONBLOCKING": "0",
        }
        if options.compact_at is not None:
            variables["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] = str(max(spec.context, _LEAST_WINDOW))
            variables["CLAUDE_AUTOCOMPACT_PCT_OVERRIDE"] = str(options.compact_at)
        return variables

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        return stream.decode(line)

    def conversation_files(self, session_id: str) -> tuple[str, ...]:
        """See `Backend.conversation_files`."""
        return (f".claude/projects/*/{escape(session_id)}.jsonl",)

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`."""
        return f"mcp__{plain_name(server)}__{plain_name(tool)}"

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str]:
        """See `Backend.builtin_tools`. The tool that `Task` gives is named `Agent`."""
        return frozenset("Agent" if tool == "Task" else tool for tool in read_options(ClaudeOptions, options).tools)

    def _options(self, spec: SessionSpec) -> ClaudeOptions:
        return read_options(ClaudeOptions, spec.options)


BACKEND = Claude()

_LEAST_WINDOW = 100_000
"""The smallest window for compaction, in tokens, that the CLI takes. It never uses more than the model's context."""


def _mcp_config(spec: SessionSpec) -> str:
    return f"{spec.home}/mcp.json"


def _system_prompt(spec: SessionSpec) -> str:
    return f"{spec.home}/system_prompt.md"
