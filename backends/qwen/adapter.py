"""Calls and configures Qwen Code: `qwen --output-format stream-json`.

Measured with Qwen Code 0.24.4, which needs Node.js 22:

- A prompt that begins with `/` and the name of a command is that command. A space comes before each `@`, and the file
  that such a word names is read into the prompt.
- It offers MCP tools from the first turn only if `toolSearch` is off. It refuses a plain `sleep` of its shell tool.
- By default, its subagents run in the background. Their end starts another turn.
- It asks again six times after a status of 429 or 5xx, with pauses of 1.5 to 30 seconds, whatever its settings say. Its
  client repeats each attempt `maxRetries` times. It asks again four times after an answer without a text.
- Over Anthropic's wire, it takes the signature of a thought from a `signature_delta` only. After a thought without one
  that goes with a tool call, it asks no more, and ends with an error that names the missing signature.
- It compacts a conversation that fills its context, and once for each request that is refused as too long.
- While its shell tool runs, it shows a sign of life every few seconds, which would hide that a session is idle.
- It keeps a conversation in `.qwen/projects/FOLDER/chats/ID.jsonl` and writes it as it goes.
- Settings of a system file rank above those of the workspace. So Proctor's settings are both the user's and the
  system's. As instructions it reads only files of the name in `context.fileName`, in the home and in the workspace.
- It starts Node.js three times, or twice with `QWEN_CODE_NO_RELAUNCH`. It parses shell commands with WebAssembly
  (`QUICK_EXIT`).
- The `rg` that it brings is not executable once installed by another user. It then searches without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from glob import escape
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from backends import events as ev
from backends.base import Backend, Capabilities, NpmPackage, ReportingQuirks, SessionSpec, plain_name
from backends.node_script import QUICK_EXIT, node_options
from backends.options import read_options
from backends.qwen import stream


class QwenOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tools` are the built-in tools that the agent gets; `None`: all of them.

    `reasoning_effort` is that of a model that reasons; `None`: the model's own default. `max_retries` is how often the
    client of the CLI repeats each attempt of a failed request.
    """

    tools: Annotated[list[str], Meta(min_length=1)] | None = None
    reasoning_effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
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
        tools = {
            "toolSearch": {"enabled": False},
            "useRipgrep": False,
            "shell": {"heartbeatIntervalMs": 0},
            **({} if options.tools is None else {"core": options.tools}),
        }
        effort = {} if options.reasoning_effort is None else {"reasoningEffort": options.reasoning_effort}
        settings = {
            "$version": 4,
            "general": {"enableAutoUpdate": False, "gitCoAuthor": {"commit": False, "pr": False}},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "security": {"auth": {"selectedType": api}},
            "modelProviders": {api: [provider]},
            "model": {"name": spec.model, **effort},
            "tools": tools,
            "memory": {"enableManagedAutoMemory": False, "enableManagedAutoDream": False},
            "agents": {"crossSessionMessaging": False},
            "context": {"fileName": _INSTRUCTIONS},
            "mcpServers": {server.name: {"httpUrl": server.url, "trust": True} for server in spec.mcp},
        }
        files = {_settings(spec): json.dumps(settings, indent=2), _script(spec): _SCRIPT}
        if spec.instructions:
            files[f"{spec.home}/{_FOLDER}/{_INSTRUCTIONS}"] = spec.instructions
        return files

    def environment(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.environment`."""
        return {
            _KEY: "sealed",
            "QWEN_CODE_SYSTEM_SETTINGS_PATH": _settings(spec),
            "QWEN_CODE_DISABLE_CRON": "1",
            "QWEN_CODE_NO_RELAUNCH": "1",
            "QWEN_CODE_SUPPRESS_YOLO_WARNING": "1",
            **node_options(_script(spec)),
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

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str]:
        """See `Backend.builtin_tools`."""
        chosen = read_options(QwenOptions, options).tools
        return _BUILTIN_TOOLS if chosen is None else frozenset(chosen)


BACKEND = Qwen()

_APIS = {
    "openai_chat": ("openai", "/v1"),
    "anthropic_messages": ("anthropic", ""),
    "openai_responses": ("openai-responses", "/v1"),
    "google_generate": ("gemini", ""),
}
"""For each wire: the CLI's name for it, and how its addresses begin."""

_BUILTIN_TOOLS = frozenset(
    (
        *("read_file", "write_file", "edit", "notebook_edit", "zoom_image", "glob", "grep_search", "run_shell_command"),
        *("agent", "list_agents", "send_message", "task_stop", "monitor", "skill", "web_fetch", "read_mcp_resource"),
        *("get_goal", "update_goal", "enter_worktree", "exit_worktree", "record_artifact", "report_findings"),
    )
)

_KEY = "PROCTOR_MODEL_KEY"
_FOLDER = ".qwen"
_INSTRUCTIONS = "PROCTOR.md"

_SCRIPT = QUICK_EXIT + 'if (process.execArgv.includes("--expose-gc")) delete process.env.NODE_OPTIONS;\n'
"""Runs in both of the CLI's processes. The second one has `--expose-gc`."""


def _settings(spec: SessionSpec) -> str:
    return f"{spec.home}/{_FOLDER}/settings.json"


def _script(spec: SessionSpec) -> str:
    return f"{spec.home}/{_FOLDER}/first.mjs"
