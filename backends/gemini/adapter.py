"""Calls and configures Gemini CLI: `gemini --output-format stream-json`.

Measured with Gemini CLI 0.61.0:

- It speaks Google's wire alone. It runs itself again in a second process, unless `GEMINI_CLI_NO_RELAUNCH` is set.
- It takes the system's settings only from a folder that root owns, so Proctor's are those of the user in the home. The
  settings of a workspace that it trusts win over them. It needs that trust for MCP servers and to run tools unasked.
- Under the name in `context.fileName`, it reads instructions in the home and in every folder of the workspace. The
  name is one that nobody else uses.
- A policy that denies a tool hides it from the model. The tools that need the internet, and skills, are denied.
- It blocks a shell command that substitutes another's output: `$(…)` or backticks outside of single quotes, and `<(…)`
  or `>(…)` outside of all quotes. Its commands do not see the user's configuration of git.
- A subagent must end with a call of `complete_task`. One that ends with a text counts as failed.
- It compacts a conversation only before a message of the user that is not the first one, or after an answer without
  calls. A session that an overflow interrupts has neither. So it cannot compact on demand, and never does on its own
  (`compressionThreshold`).
- It keeps a conversation in `.gemini/tmp/PROJECT/chats/session-TIME-ID.jsonl`, with the first 8 characters of the id.
- It tells most errors by its exit code: the HTTP status modulo 256.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from glob import escape
from typing import Annotated, Any

from msgspec import Meta, Struct

from backends import events as ev
from backends.base import Backend, Capabilities, NpmPackage, ReportingQuirks, SessionSpec, plain_name
from backends.gemini import stream
from backends.node_script import QUICK_EXIT, node_options
from backends.options import read_options


class GeminiOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`max_retries` is how often a failed request is repeated, at most 9 times."""

    max_retries: Annotated[int, Meta(ge=0, le=9)] = 1


class Gemini(Backend):
    """The adapter of Gemini CLI."""

    name = "gemini"
    installation = NpmPackage(package="@google/gemini-cli", executable="gemini", licence="Apache-2.0", megabytes=100)
    options = GeminiOptions
    capabilities = Capabilities(mcp=True, resume=True, subagents=True, wires=("google_generate",))
    quirks = ReportingQuirks(hides_subagents=True, totals_at_end=True, merges_cache_writes=True)

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. It shows texts as the model wrote them (`--raw-output`)."""
        command = [spec.executable, "--output-format", "stream-json", "--approval-mode", "yolo", "--skip-trust"]
        command += ["--raw-output", "--accept-raw-output-risk", "--model", spec.model]
        return [*command, *(["--resume", spec.resume] if spec.resume else [])]

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. All files are in the home."""
        options = read_options(GeminiOptions, spec.options)
        settings: dict[str, Any] = {
            **_SETTINGS,
            "general": {**_SETTINGS["general"], "maxAttempts": options.max_retries + 1},
            "modelConfigs": {"customOverrides": [_output_limit(spec)]},
            "mcpServers": {
                server.name: {"httpUrl": server.url, "timeout": _TOOL_TIMEOUT_S * 1000, "trust": True}
                for server in spec.mcp
            },
        }
        files = {
            f"{spec.home}/.gemini/settings.json": json.dumps(settings, indent=2),
            f"{spec.home}/.gemini/policies/proctor.toml": _POLICY,
            _script(spec): f"{QUICK_EXIT}delete process.env.NODE_OPTIONS;\n",
        }
        if spec.instructions:
            files[f"{spec.home}/.gemini/{_INSTRUCTIONS}"] = spec.instructions
        return files

    def environment(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.environment`."""
        return {
            "GEMINI_API_KEY": "sealed",
            "GOOGLE_GEMINI_BASE_URL": spec.model_url,
            "GEMINI_CLI_NO_RELAUNCH": "1",
            "NO_COLOR": "1",
            **node_options(_script(spec)),
            **_GIT_IDENTITY,
        }

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        return stream.decode(line)

    def read_stderr(self, text: str) -> tuple[ev.Event, ...]:
        """See `Backend.read_stderr`: retries, and MCP servers that failed."""
        return stream.read_stderr(text)

    def conversation_files(self, session_id: str) -> tuple[str, ...]:
        """See `Backend.conversation_files`. Only the beginning of the id is in the name."""
        return (f".gemini/tmp/*/chats/session-*-{escape(session_id[:8])}.json*",)

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`."""
        return f"mcp_{plain_name(server)}_{plain_name(tool)}"

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG002 - no option changes them
        """See `Backend.builtin_tools`."""
        return _BUILTIN_TOOLS


BACKEND = Gemini()

_GIT_IDENTITY = {
    f"GIT_{who}_{what}": said
    for who in ("AUTHOR", "COMMITTER")
    for what, said in (("NAME", "agent"), ("EMAIL", "agent@localhost"))
}
"""The agent's identity as in its home's `.gitconfig`, which the CLI hides from commands."""

_TOOL_TIMEOUT_S = 600
"""Seconds that an MCP tool may take. An episode may take long."""

_INSTRUCTIONS = "instructions.proctor.md"
"""The name of the file with Proctor's instructions."""

_BUILTIN_TOOLS = frozenset(
    (
        *("list_directory", "read_file", "grep_search", "glob", "replace", "write_file", "run_shell_command"),
        *("list_background_processes", "read_background_output", stream.SUBAGENT_TOOL, "complete_task"),
    )
)

_SETTINGS: dict[str, Any] = {
    "general": {
        "enableAutoUpdate": False,
        "enableAutoUpdateNotification": False,
        "plan": {"enabled": False},
        "sessionRetention": {"enabled": False},
        "topicUpdateNarration": False,
    },
    "ui": {"showCompatibilityWarnings": False},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "ide": {"enabled": False},
    "model": {"disableLoopDetection": True, "compressionThreshold": 10},
    "context": {"fileName": _INSTRUCTIONS, "memoryBoundaryMarkers": []},
    "tools": {
        "shell": {"enableInteractiveShell": False},
        "useRipgrep": False,
    },
    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
    "advanced": {"autoConfigureMemory": False, "ignoreLocalEnv": True},
    "skills": {"enabled": False},
    "hooksConfig": {"enabled": False},
    "admin": {"extensions": {"enabled": False}, "skills": {"enabled": False}},
}

_POLICY = """\
[[rule]]
toolName = ["activate_skill", "google_web_search", "web_fetch"]
decision = "deny"
priority = 999
"""


def _script(spec: SessionSpec) -> str:
    return f"{spec.home}/.gemini/first.mjs"


def _output_limit(spec: SessionSpec) -> dict[str, Any]:
    """Return the change to every request: the tokens that one response may have."""
    return {
        "match": {"model": spec.model},
        "modelConfig": {"generateContentConfig": {"maxOutputTokens": spec.output_limit}},
    }
