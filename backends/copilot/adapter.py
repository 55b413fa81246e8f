"""Calls and configures GitHub Copilot CLI: `copilot --output-format json`, started by `launcher`.

Measured with GitHub Copilot CLI 1.0.102:

- npm installs a program of 197 MB that holds the CLI as an archive. At its first start it unpacks 235 MB into the
  folder that `COPILOT_PKG_CACHE_HOME` names. Later starts only read them.
- `COPILOT_OFFLINE` turns off all that needs GitHub: its accounts, models, MCP servers and web tools, and telemetry.
- Without a key it sends none. It hides a key wherever that text appears in its stream, so it gets none.
- A prompt that begins with `/` is a command of the CLI, not a prompt.
- It repeats a failed request five times, with pauses of 0.5 to 10 seconds, and one that is refused as unauthorized
  twice. No setting changes that.
- At 80% of the longest prompt it compacts the conversation beside its work. A prompt that the server refuses as too
  long ends the session. `/compact` shortens a conversation that it resumes, but it does not always exit afterwards. So
  `launcher` sends that command, and ends it when it is done.
- It reads instructions of the workspace (AGENTS.md, CLAUDE.md, .github/copilot-instructions.md). It loads MCP servers,
  skills and hooks of a folder only if it trusts the folder, and it does not trust the workspace.
- A model that it knows by name may have an output limit of its own, such as 32,000 tokens. It refuses to start with a
  smaller one. GPT models get `apply_patch` and `rg` in place of `create`, `edit` and `grep`.
- It keeps a conversation in `.copilot/session-state/ID/events.jsonl`, and writes it as it goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from glob import escape
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from backends import events as ev
from backends.base import Backend, Capabilities, NpmPackage, ReportingQuirks, SessionSpec, plain_name
from backends.copilot import stream
from backends.copilot.launcher import COMPACT, LAUNCHER
from backends.options import read_options


class CopilotOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tools` are the built-in tools that the agent gets; `None`: all of them.

    `reasoning_effort` is that of a model that reasons; `None`: the model's own default.
    """

    tools: Annotated[list[str], Meta(min_length=1)] | None = None
    reasoning_effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class Copilot(Backend):
    """The adapter of GitHub Copilot CLI."""

    name = "copilot"
    installation = NpmPackage(
        package="@github/copilot",
        executable="copilot",
        licence="proprietary",
        megabytes=423,
        cache="COPILOT_PKG_CACHE_HOME",
    )
    options = CopilotOptions
    capabilities = Capabilities(
        mcp=True,
        resume=True,
        subagents=True,
        wires=("openai_chat", "anthropic_messages", "openai_responses"),
        compact=True,
    )
    quirks = ReportingQuirks(totals_at_end=True, merges_cache_writes=True)

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`."""
        options = read_options(CopilotOptions, spec.options)
        command = ["node", _launcher(spec), spec.resume or "", spec.executable]
        command += ["--output-format", "json", "--model", spec.model, "--allow-all", "--no-ask-user", "--no-color"]
        command += ["--no-auto-update", "--disable-builtin-mcps"]
        if options.reasoning_effort is not None:
            command += ["--reasoning-effort", options.reasoning_effort]
        if options.tools is not None:
            command += ["--excluded-tools", *sorted(_BUILTIN_TOOLS.difference(options.tools))]
        return command

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. All files are in the home."""
        read_options(CopilotOptions, spec.options)  # a wrong one is refused before anything is written
        servers = {server.name: {"type": "http", "url": server.url, "tools": ["*"]} for server in spec.mcp}
        folder = f"{spec.home}/{_FOLDER}"
        files = {
            _launcher(spec): LAUNCHER,
            f"{folder}/settings.json": json.dumps(_SETTINGS, indent=2),
            f"{folder}/mcp-config.json": json.dumps({"mcpServers": servers}, indent=2),
        }
        return files | ({f"{folder}/copilot-instructions.md": spec.instructions} if spec.instructions else {})

    def environment(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.environment`."""
        type_, api, path = _APIS[spec.wire]
        return {
            "COPILOT_OFFLINE": "true",
            "COPILOT_AUTO_UPDATE": "false",
            "COPILOT_PROVIDER_TYPE": type_,
            "COPILOT_PROVIDER_WIRE_API": api,
            "COPILOT_PROVIDER_BASE_URL": f"{spec.model_url}{path}",
            "COPILOT_MODEL": spec.model,
            "COPILOT_PROVIDER_MAX_PROMPT_TOKENS": str(spec.context - spec.output_limit),
            "COPILOT_PROVIDER_MAX_OUTPUT_TOKENS": str(spec.output_limit),
            **({COMPACT: "1"} if spec.compact else {}),
        }

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        return stream.decode(line)

    def conversation_files(self, session_id: str) -> tuple[str, ...]:
        """See `Backend.conversation_files`."""
        return (f"{_FOLDER}/session-state/{escape(session_id)}/events.jsonl",)

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`."""
        return f"{plain_name(server)}-{plain_name(tool)}"

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str]:
        """See `Backend.builtin_tools`."""
        chosen = read_options(CopilotOptions, options).tools
        return _BUILTIN_TOOLS if chosen is None else frozenset(chosen)


BACKEND = Copilot()

_BUILTIN_TOOLS = frozenset(
    (
        *("bash", "read_bash", "stop_bash", "write_bash", "list_bash", "view", "create", "edit", "grep", "glob"),
        *("task", "read_agent", "list_agents", "write_agent", "skill", "sql", "session_store_sql"),
        *("apply_patch", "rg", "fetch_copilot_cli_documentation"),
    )
)

_FOLDER = ".copilot"
"""The folder in the home where the CLI keeps its settings and its conversations."""

_SETTINGS = {"includeCoAuthoredBy": False, "memory": False}

_APIS = {
    "openai_chat": ("openai", "completions", "/v1"),
    "anthropic_messages": ("anthropic", "completions", ""),
    "openai_responses": ("openai", "responses", "/v1"),
}
"""For each wire: the CLI's names for it, and how its addresses begin."""


def _launcher(spec: SessionSpec) -> str:
    return f"{spec.home}/launcher.mjs"
