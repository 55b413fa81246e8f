"""Calls and configures Qwen Code: `qwen --output-format stream-json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from glob import escape
from typing import Annotated, Any

from msgspec import Meta, Struct

from backends import events as ev
from backends.base import Backend, Capabilities, NpmPackage, ReportingQuirks, SessionSpec, plain_name
from backends.options import read_options
from backends.qwen import stream


class QwenOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tools` are the built-in tools that the agent gets; `None`: all. `max_retries` is how often a request is repeated."""

    tools: Annotated[list[str], Meta(min_length=1)] | None = None
    max_retries: Annotated[int, Meta(ge=0)] = 0


class Qwen(Backend):
    """The adapter of Qwen Code."""

    name = "qwen"
    installation = NpmPackage(package="@qwen-code/qwen-code", executable="qwen", licence="Apache-2.0", megabytes=329)
    options = QwenOptions
    capabilities = Capabilities(
        mcp=True,
        resume=True,
        subagents=True,
        wires=("openai_chat", "anthropic_messages", "openai_responses", "google_generate"),
        compact=True,
    )
    quirks = ReportingQuirks(hides_subagents=True, merges_cache_writes=True)
    compact_prompt = "/compress"

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`."""
        api, _ = _APIS[spec.wire]
        command = [spec.executable, "--output-format", "stream-json", "--include-partial-messages"]
        command += ["--auth-type", api, "--model", spec.model, "--approval-mode", "yolo"]
        return [*command, *(["--resume", spec.resume] if spec.resume else [])]

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. All files are in the home."""
        options = read_options(QwenOptions, spec.options)
        api, path = _APIS[spec.wire]
        generation = {
            "maxRetries": options.max_retries,
            "contextWindowSize": spec.context,
            "samplingParams": {"max_tokens": spec.output_limit},
        }
        provider = {
            "id": spec.model,
            "name": spec.model,
            "baseUrl": f"{spec.model_url}{path}",
            "envKey": _KEY,
            "generationConfig": generation,
        }
        settings = {
            "$version": 4,
            "general": {"enableAutoUpdate": False, "gitCoAuthor": {"commit": False, "pr": False}},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "security": {"auth": {"selectedType": api}},
            "modelProviders": {api: [provider]},
            "model": {"name": spec.model},
            "tools": {"toolSearch": {"enabled": False}, "useRipgrep": False},
            "memory": {"enableManagedAutoMemory": False, "enableManagedAutoDream": False},
            "agents": {"crossSessionMessaging": False},
            "context": {"fileName": _INSTRUCTIONS},
            "mcpServers": {server.name: {"httpUrl": server.url, "trust": True} for server in spec.mcp},
        }
        files = {_settings(spec): json.dumps(settings, indent=2)}
        if spec.instructions:
            files[f"{spec.home}/{_FOLDER}/{_INSTRUCTIONS}"] = spec.instructions
        return files

    def environment(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.environment`."""
        return {
            _KEY: "sealed",
            "QWEN_CODE_SYSTEM_SETTINGS_PATH": _settings(spec),
            "QWEN_CODE_DISABLE_CRON": "1",
            "QWEN_CODE_SUPPRESS_YOLO_WARNING": "1",
        }

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        return stream.decode(line)

    def conversation_files(self, session_id: str) -> tuple[str, ...]:
        """See `Backend.conversation_files`."""
        return (f"{_FOLDER}/projects/*/chats/{escape(session_id)}.jsonl",)

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`."""
        return f"mcp__{plain_name(server)}__{plain_name(tool)}"

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str] | None:
        """See `Backend.builtin_tools`."""
        return None


BACKEND = Qwen()

_APIS = {
    "openai_chat": ("openai", "/v1"),
    "anthropic_messages": ("anthropic", ""),
    "openai_responses": ("openai-responses", "/v1"),
    "google_generate": ("gemini", ""),
}
"""For each wire: the CLI's name for it, and how its addresses begin."""

_KEY = "PROCTOR_MODEL_KEY"
_FOLDER = ".qwen"
_INSTRUCTIONS = "PROCTOR.md"


def _settings(spec: SessionSpec) -> str:
    return f"{spec.home}/{_FOLDER}/settings.json"
