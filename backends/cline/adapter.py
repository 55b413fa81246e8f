"""Calls and configures Cline: `cline --json`.

Measured with Cline 3.0.65:

- The package `cline` adds a launcher for Node.js and 290 MB of libraries to the program in `@cline/cli-linux-x64`,
  which needs neither.
- It takes its prompt from standard input if it also has one on the command line. A space will do. `@/FILE` in a prompt
  reads that file into it.
- It resumes a conversation (`--id`) only on a terminal, without its JSON stream.
- By default it works through a daemon (`cline hub`), which outlives it. With `CLINE_SESSION_BACKEND_MODE=local`, it
  starts none.
- Its stream does not tell the events of subagents and teammates from those of the agent. So the tools that start them
  are off.
- Over OpenAI's Responses, it asks for a tool that draws pictures on the service, whatever its settings say.
- It knows many models by name. It limits a response to 32,000 tokens, and to what the context leaves.
- It ends a shell command after 30 seconds. It aborts a session after 5 identical calls in a row, or after `retries`
  responses in a row whose calls were all impossible. It answers `ask_question` with the first option.
- It makes a failed request again 5 times, with pauses of 2 to 32 seconds, whatever its settings say. It always compacts
  a conversation that the model server refuses as too long.
- It gives its model the result of an MCP tool as JSON, with a picture as a long text.
- It writes its log to a file, or to standard error if that file cannot be made.
- As instructions, it reads all files in `.cline/rules` of the home, and AGENTS.md, .clinerules and .cline of the
  workspace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from backends import events as ev
from backends.base import Backend, Capabilities, NpmPackage, ReportingQuirks, SessionSpec, plain_name
from backends.cline import stream
from backends.options import read_options


class ClineOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`thinking` is the effort of a model that reasons.

    `retries` is how many responses in a row with nothing but impossible calls end the session: calls of an unknown
    tool, or with wrong arguments.

    `compaction` is how Cline shortens a conversation that fills the context: by a summary of the model (`agentic`), by
    leaving out what is old (`basic`), or not at all.
    """

    thinking: Literal["none", "low", "medium", "high", "xhigh"] = "none"
    retries: Annotated[int, Meta(ge=1)] = 6
    compaction: Literal["off", "basic", "agentic"] = "off"


class Cline(Backend):
    """The adapter of Cline."""

    name = "cline"
    installation = NpmPackage(package="@cline/cli-linux-x64", executable="cline", licence="Apache-2.0", megabytes=152)
    options = ClineOptions
    capabilities = Capabilities(
        mcp=True,
        resume=False,
        subagents=False,
        wires=("openai_chat", "anthropic_messages", "google_generate"),
    )
    quirks = ReportingQuirks(merges_cache_writes=True)

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. The space is the prompt that it wants besides standard input."""
        options = read_options(ClineOptions, spec.options)
        provider, _ = _PROVIDERS[spec.wire]
        command = [spec.executable, "--json", "--auto-approve", "true", "--provider", provider, "--model", spec.model]
        return [*command, "--thinking", options.thinking, "--retries", str(options.retries), " "]

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. All files are in the home."""
        compaction = read_options(ClineOptions, spec.options).compaction
        provider, path = _PROVIDERS[spec.wire]
        settings = {
            "provider": provider,
            "apiKey": "sealed",
            "model": spec.model,
            "baseUrl": f"{spec.model_url}{path}",
            "contextWindow": spec.context,
        }
        chosen = {"settings": settings, "updatedAt": "2026-01-01T00:00:00.000Z", "tokenSource": "manual"}
        servers = {
            server.name: {"type": "streamableHttp", "url": server.url, "timeout": _TOOL_TIMEOUT_S}
            for server in spec.mcp
        }
        written = {
            "providers.json": {"version": 1, "lastUsedProvider": provider, "providers": {provider: chosen}},
            "global-settings.json": {
                **_SETTINGS,
                "compactionEnabled": compaction != "off",
                **({} if compaction == "off" else {"compactionStrategy": compaction}),
            },
            "cline_mcp_settings.json": {"mcpServers": servers},
        }
        folder = f"{spec.home}/.cline"
        files = {f"{folder}/data/settings/{name}": json.dumps(value, indent=2) for name, value in written.items()}
        return files | ({f"{folder}/rules/proctor.md": spec.instructions} if spec.instructions else {})

    def environment(self, spec: SessionSpec) -> dict[str, str]:  # noqa: ARG002 - the contract of Backend
        """See `Backend.environment`."""
        return {
            "CLINE_SESSION_BACKEND_MODE": "local",
            "CLINE_NO_AUTO_UPDATE": "1",
            "CLINE_LOG_PATH": "/dev/null/log",
            "CLINE_LOG_LEVEL": "info",
        }

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        return stream.decode(line)

    def read_stderr(self, text: str) -> tuple[ev.Event, ...]:
        """See `Backend.read_stderr`: the MCP servers that failed."""
        return stream.read_stderr(text)

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`."""
        return f"{plain_name(server)}__{plain_name(tool)}"

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG002 - no option changes them
        """See `Backend.builtin_tools`. Models whose name contains `gpt` or `codex` edit by `apply_patch`."""
        return _BUILTIN_TOOLS


BACKEND = Cline()

_PROVIDERS = {
    "openai_chat": ("openai-compatible", "/v1"),
    "anthropic_messages": ("anthropic", "/v1"),
    "google_generate": ("gemini", "/v1beta"),
}
"""For each wire: Cline's name for it, and how its addresses begin."""

_TOOL_TIMEOUT_S = 600
"""Seconds that an MCP tool may take. An episode may take long."""

_BUILTIN_TOOLS = frozenset(
    ("read_files", "search_codebase", stream.SHELL, "editor", "apply_patch", "skills", "ask_question")
)

_DISABLED_TOOLS = (
    *("fetch_web_content", "spawn_agent", "team_spawn_teammate", "team_shutdown_teammate", "team_status", "team_task"),
    *("team_run_task", "team_cancel_run", "team_list_runs", "team_await_runs", "team_send_message", "team_broadcast"),
    *("team_read_mailbox", "team_mission_log", "team_cleanup", "team_create_outcome", "team_attach_outcome_fragment"),
    *("team_review_outcome_fragment", "team_finalize_outcome", "team_list_outcomes"),
)
"""Tools that start other agents, or need the internet."""

_SETTINGS = {
    "telemetryOptOut": True,
    "autoUpdateEnabled": False,
    "disabledTools": _DISABLED_TOOLS,
    "tools": {"web_search": {"enabled": False}},
}
