"""Calls and configures Pi: `pi --mode json`.

Measured with Pi 0.87.1:

- It has no MCP and no subagents.
- Without `--no-context-files`, it reads AGENTS.md and CLAUDE.md of every folder above the workspace. It also reads
  extensions, skills and prompts in the home. Proctor's instructions are in a file that it appends to its system prompt.
- With compaction enabled, it compacts a conversation that it resumes if its last response was refused as too long, or
  left less than 16,384 tokens of the context.
- It keeps a conversation in `.pi/agent/sessions/FOLDER/TIME_ID.jsonl` and writes it as it goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from glob import escape
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from backends import events as ev
from backends.base import Backend, Capabilities, NpmPackage, ReportingQuirks, SessionSpec
from backends.options import read_options
from backends.pi import stream

_PROVIDER = "proctor"


class PiOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`thinking` is the effort of a model that reasons. `max_retries` is how often a failed request is repeated."""

    thinking: Literal["off", "minimal", "low", "medium", "high", "xhigh", "max"] = "off"
    max_retries: Annotated[int, Meta(ge=0)] = 1


class Pi(Backend):
    """The adapter of Pi."""

    name = "pi"
    installation = NpmPackage(package="@earendil-works/pi-coding-agent", executable="pi", licence="MIT", megabytes=344)
    options = PiOptions
    capabilities = Capabilities(
        mcp=False,
        resume=True,
        subagents=False,
        wires=("openai_chat", "anthropic_messages", "openai_responses", "google_generate"),
        compact=True,
    )
    quirks = ReportingQuirks(merges_cache_writes=True)

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. The CLI reads only its settings in the home, and nothing in the workspace."""
        options = read_options(PiOptions, spec.options)
        command = [spec.executable, "--mode", "json", "--print", "--offline", "--no-approve"]
        command += ["--provider", _PROVIDER, "--model", spec.model, "--thinking", options.thinking]
        command += ["--no-context-files", "--no-extensions", "--no-skills", "--no-prompt-templates", "--no-themes"]
        command += ["--append-system-prompt", _instructions(spec)] if spec.instructions else []
        return [*command, *(["--session", spec.resume] if spec.resume else [])]

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. All files are in the home."""
        options = read_options(PiOptions, spec.options)
        model = {
            "id": spec.model,
            "reasoning": options.thinking != "off",
            "contextWindow": spec.context,
            "maxTokens": spec.output_limit,
        }
        api, path, compat = _APIS[spec.wire]
        provider = {
            "baseUrl": f"{spec.model_url}{path}",
            "api": api,
            "apiKey": "sealed",
            "compat": compat,
            "models": [model],
        }
        settings = {
            "retry": {"maxRetries": options.max_retries, "provider": {"maxRetries": 0}},
            "compaction": {"enabled": spec.compact},
            "enableInstallTelemetry": False,
        }
        files = {
            f"{_folder(spec)}/models.json": json.dumps({"providers": {_PROVIDER: provider}}, indent=2),
            f"{_folder(spec)}/settings.json": json.dumps(settings, indent=2),
        }
        return files | ({_instructions(spec): spec.instructions} if spec.instructions else {})

    def environment(self, spec: SessionSpec) -> dict[str, str]:  # noqa: ARG002 - the contract of Backend
        """See `Backend.environment`."""
        return {"PI_OFFLINE": "1", "PI_SKIP_VERSION_CHECK": "1", "PI_TELEMETRY": "0"}

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        return stream.decode(line)

    def conversation_files(self, session_id: str) -> tuple[str, ...]:
        """See `Backend.conversation_files`."""
        return (f"{_FOLDER}/sessions/*/*_{escape(session_id)}.jsonl",)

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`. Raise `NotImplementedError`: Pi has no MCP."""
        raise NotImplementedError(f"pi has no MCP: it cannot show {tool} of {server}")

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG002 - no option changes them
        """See `Backend.builtin_tools`."""
        return frozenset(("bash", "edit", "read", "write"))


BACKEND = Pi()


_APIS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "openai_chat": (
        "openai-completions",
        "/v1",
        {"supportsDeveloperRole": False, "supportsStore": False, "maxTokensField": "max_tokens"},
    ),
    "anthropic_messages": ("anthropic-messages", "", {}),
    "openai_responses": ("openai-responses", "/v1", {}),
    "google_generate": ("google-generative-ai", "/v1beta", {}),
}
"""For each wire: Pi's name for it, how its addresses begin, and the features of its server."""

_FOLDER = ".pi/agent"
"""The folder in the home where Pi keeps its settings and its conversations."""


def _folder(spec: SessionSpec) -> str:
    return f"{spec.home}/{_FOLDER}"


def _instructions(spec: SessionSpec) -> str:
    return f"{_folder(spec)}/instructions.md"
