"""Calls and configures OpenCode: `opencode run --format json`.

Measured with OpenCode 1.18.33:

- At log level `ERROR`, the log does not say that an MCP server failed.
- Compaction is off by default: when a model's server refuses even the request that compacts, OpenCode compacts without
  end. Where it is on, OpenCode compacts a conversation whose next request the server refuses as too long.
- It keeps all conversations in one database. It reports the id of a conversation only after saving it there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from msgspec import Struct

from backends import events as ev
from backends.base import Backend, Capabilities, NpmPackage, ReportingQuirks, SessionSpec, plain_name
from backends.opencode import stream
from backends.options import read_options

_PROVIDER = "proctor"


class OpenCodeOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`variant` is the model's reasoning effort. `log_level` is the level of OpenCode's log on standard error.

    `tools` are the built-in tools that the agent gets; `None` means all. `system_prompt` replaces OpenCode's own;
    `None` keeps it. `compaction` lets OpenCode compact a conversation that becomes too long.
    """

    variant: str | None = None
    log_level: Literal["DEBUG", "INFO", "WARN", "ERROR"] = "WARN"
    tools: list[str] | None = None
    system_prompt: str | None = None
    compaction: bool = False


class OpenCode(Backend):
    """The adapter of OpenCode, and the base of the adapters of its forks.

    `folder` is the fork's name for its folders in the home, and `main_agent` that of the agent that a session begins
    with.
    """

    folder: ClassVar[str] = "opencode"
    main_agent: ClassVar[str] = "build"

    name = "opencode"
    installation = NpmPackage(package="opencode-ai", executable="opencode", licence="MIT", megabytes=355)
    options: ClassVar[type[OpenCodeOptions]] = OpenCodeOptions
    capabilities = Capabilities(
        mcp=True,
        resume=True,
        subagents=True,
        wires=("openai_chat", "anthropic_messages", "openai_responses", "google_generate"),
        compact=True,
    )
    quirks = ReportingQuirks(hides_subagents=True, merges_cache_writes=True, counts_compactions=True)

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. The command gives a title, so that OpenCode does not ask the model for one."""
        options = self._options(spec)
        command = [spec.executable, "run", "--format", "json", "--thinking", "--title", "session"]
        command += ["--print-logs", "--log-level", options.log_level]
        command += ["--model", f"{_PROVIDER}/{spec.model}"]
        command += ["--session", spec.resume] if spec.resume else []
        return [*command, "--variant", options.variant] if options.variant else command

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`.

        All files are in the home and are read at the start. OpenCode does not read configuration that an agent writes
        into the workspace (`OPENCODE_DISABLE_PROJECT_CONFIG`).
        """
        config: dict[str, Any] = {
            "permission": "allow",
            "autoupdate": False,
            "share": "disabled",
            "compaction": {"auto": self._compacts(spec), "prune": False},
            "enabled_providers": [_PROVIDER],
            "provider": {_PROVIDER: _provider(spec, self._options(spec))},
            "mcp": {server.name: {"type": "remote", "url": server.url, "oauth": False} for server in spec.mcp},
            "agent": {self.main_agent: self._agent(spec)},
        }
        folder = f"{spec.home}/.config/{self.folder}"
        files = {f"{folder}/{self.folder}.json": json.dumps(config, indent=2)}
        if spec.instructions:
            files[f"{folder}/AGENTS.md"] = spec.instructions
        return files

    def environment(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.environment`."""
        off = _SWITCHES if self._compacts(spec) else ("AUTOCOMPACT", *_SWITCHES)
        return {f"{self.folder.upper()}_DISABLE_{switch}": "1" for switch in off}

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        return stream.decode(line)

    def read_stderr(self, text: str) -> tuple[ev.Event, ...]:
        """See `Backend.read_stderr`: the MCP servers that failed."""
        return stream.read_stderr(text)

    def conversation_files(self, session_id: str) -> tuple[str, ...]:  # noqa: ARG002 - one database holds them all
        """See `Backend.conversation_files`."""
        return (f".local/share/{self.folder}/{self.folder}.db",)

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`."""
        return f"{plain_name(server)}_{plain_name(tool)}"

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str]:
        """See `Backend.builtin_tools`. OpenCode may offer more than its option `tools` names: `edit` with `write`."""
        return _BUILTIN_TOOLS.union(read_options(self.options, options).tools or ())

    def _agent(self, spec: SessionSpec) -> dict[str, Any]:
        """Return the changes to the main agent."""
        options = self._options(spec)
        agent: dict[str, Any] = {"prompt": options.system_prompt} if options.system_prompt else {}
        if options.tools is not None:
            kept = (*options.tools, *(f"{plain_name(server.name)}_*" for server in spec.mcp))
            agent["tools"] = {"*": False, **dict.fromkeys(kept, True)}
        return agent

    def _compacts(self, spec: SessionSpec) -> bool:
        return spec.compact or self._options(spec).compaction

    def _options(self, spec: SessionSpec) -> OpenCodeOptions:
        return read_options(self.options, spec.options)


BACKEND = OpenCode()

_BUILTIN_TOOLS = frozenset(
    (
        *("bash", "read", "write", "edit", "apply_patch", "glob", "grep"),
        *("task", "todowrite", "webfetch", "skill"),
        *("list_mcp_resources", "list_mcp_resource_templates", "read_mcp_resource"),
    )
)

_SWITCHES = (
    "AUTOUPDATE",
    "CLAUDE_CODE",
    "DEFAULT_PLUGINS",
    "EXTERNAL_SKILLS",
    "LSP_DOWNLOAD",
    "MODELS_FETCH",
    "PROJECT_CONFIG",
    "PRUNE",
    "SHARE",
    "TERMINAL_TITLE",
)

_SDKS = {
    "openai_chat": ("@ai-sdk/openai-compatible", "/v1"),
    "anthropic_messages": ("@ai-sdk/anthropic", "/v1"),
    "openai_responses": ("@ai-sdk/openai", "/v1"),
    "google_generate": ("@ai-sdk/google", "/v1beta"),
}
"""For each wire, the provider package built into OpenCode that speaks it, and how its addresses begin."""


def _effort(wire: str, effort: str) -> dict[str, Any]:
    """Return the options of OpenCode that give a model of this wire that reasoning effort."""
    if wire == "anthropic_messages":
        return {"thinking": {"type": "adaptive"}, "effort": effort}
    if wire == "google_generate":
        return {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": effort}}
    return {"reasoningEffort": effort}


def _provider(spec: SessionSpec, options: OpenCodeOptions) -> dict[str, Any]:
    model: dict[str, Any] = {
        "name": spec.model,
        "tool_call": True,
        "limit": {"context": spec.context, "output": spec.output_limit},
    }
    if options.variant:
        model |= {"reasoning": True, "variants": {options.variant: _effort(spec.wire, options.variant)}}
    package, path = _SDKS[spec.wire]
    return {
        "npm": package,
        "name": "Proctor",
        "options": {"baseURL": f"{spec.model_url}{path}", "apiKey": "sealed"},
        "models": {spec.model: model},
    }
