"""Calls and configures Kimi Code: `kimi --prompt TEXT --output-format stream-json`.

Measured with Kimi Code 2.1.0:

- It takes its prompt from the command line only. It tells a failed MCP server only in its log, and a compaction only in
  the file of the conversation. A script that Node.js runs before it mends this.
- It tells the id of a conversation only at the end of a session that ended well. Until then, it can go on with the
  latest conversation of a folder (`--continue`). It keeps each in `.kimi-code/sessions/FOLDER/ID/` as it goes.
- It compacts a conversation that takes 85% of the context, or leaves less than 50,000 tokens of it. It always compacts
  one whose next request the server refuses as too long, and often more than once.
- It ends a session that makes the same call 12 times in a row.
- It reads AGENTS.md of the workspace and of the folders above it, up to the root of a git repository.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from glob import escape
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from backends import events as ev
from backends.base import Backend, Capabilities, NpmPackage, ReportingQuirks, SessionSpec, plain_name
from backends.kimi import stream
from backends.node_script import node_options
from backends.options import read_options

_PROVIDER = "proctor"


class KimiOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`thinking` is the effort of a model that reasons. `max_attempts` is how often a request is made in all.

    `compaction` lets Kimi Code compact a conversation that becomes too long.
    """

    thinking: Literal["off", "low", "medium", "high", "xhigh", "max"] = "off"
    max_attempts: Annotated[int, Meta(ge=1)] = 2
    compaction: bool = False


class Kimi(Backend):
    """The adapter of Kimi Code."""

    name = "kimi"
    installation = NpmPackage(package="@moonshot-ai/kimi-code", executable="kimi", licence="MIT", megabytes=305)
    options = KimiOptions
    capabilities = Capabilities(
        mcp=True,
        resume=True,
        subagents=True,
        wires=("openai_chat", "anthropic_messages", "openai_responses", "google_generate"),
        compact=True,
    )
    quirks = ReportingQuirks(hides_subagents=True)

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. A script of ours turns standard input into the argument `--prompt`."""
        command = [spec.executable, "--output-format", "stream-json", "--model", spec.model]
        if spec.resume == stream.LATEST:
            return [*command, "--continue"]
        return [*command, "--session", spec.resume] if spec.resume else command

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. All files are in the home."""
        options = read_options(KimiOptions, spec.options)
        compacts = options.compaction or spec.compact
        thinks, (type_, path) = options.thinking != "off", _TYPES[spec.wire]
        config: dict[str, dict[str, Any]] = {
            "": {
                "default_model": spec.model,
                "telemetry": False,
                "auto_session_title": False,
                "builtin_product_skills": False,
            },
            f"providers.{_PROVIDER}": {"type": type_, "base_url": f"{spec.model_url}{path}", "api_key": "sealed"},
            f"models.{json.dumps(spec.model)}": {
                "provider": _PROVIDER,
                "model": spec.model,
                "max_context_size": spec.context,
                "max_output_size": spec.output_limit,
                "capabilities": ["image_in", *(["thinking"] if thinks else [])],
            },
            "thinking": {"enabled": True, "effort": options.thinking} if thinks else {"enabled": False},
            "loop_control": {
                "max_attempts_per_step": options.max_attempts,
                **(_NO_COMPACTION if not compacts else {"reserved_context_size": spec.output_limit}),
            },
            "model_catalog": {"refresh_on_start": False},
            "cron": {"enabled": False},
        }
        servers = {server.name: {"url": server.url} for server in spec.mcp}
        folder = f"{spec.home}/{_FOLDER}"
        files = {
            _script(spec): _SCRIPT,
            f"{folder}/config.toml": _toml(config),
            f"{folder}/mcp.json": json.dumps({"mcpServers": servers}, indent=2),
        }
        return files | ({f"{folder}/AGENTS.md": spec.instructions} if spec.instructions else {})

    def environment(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.environment`."""
        return {
            "KIMI_CODE_NO_AUTO_UPDATE": "1",
            "KIMI_DISABLE_TELEMETRY": "1",
            "KIMI_DISABLE_CRON": "1",
            **node_options(_script(spec)),
        }

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        return stream.decode(line)

    def read_stderr(self, text: str) -> tuple[ev.Event, ...]:
        """See `Backend.read_stderr`: the failure that ended the session."""
        return stream.read_stderr(text)

    def conversation_files(self, session_id: str) -> tuple[str, ...]:
        """See `Backend.conversation_files`."""
        folder = "*" if session_id == stream.LATEST else escape(session_id)
        return (f"{_FOLDER}/sessions/*/{folder}/agents/main/wire.jsonl",)

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`."""
        return f"mcp__{plain_name(server)}__{plain_name(tool)}"

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG002 - no option changes them
        """See `Backend.builtin_tools`."""
        return _BUILTIN_TOOLS


BACKEND = Kimi()

_BUILTIN_TOOLS = frozenset(
    (
        *("Bash", "Edit", "FetchURL", "Glob", "Grep", "Read", "ReadMediaFile", "Write"),
        *("Agent", "AgentSwarm", "Skill", "TaskList", "TaskOutput", "TaskStop", "TodoList", "WaitFor"),
        *("CreateGoal", "GetGoal", "SetGoalBudget", "UpdateGoal", "EnterPlanMode", "ExitPlanMode"),
        *("AskUserQuestion", "CronCreate", "CronDelete", "CronList"),
    )
)

_FOLDER = ".kimi-code"
"""The folder in the home where Kimi Code keeps its settings and its conversations."""

_TYPES = {
    "openai_chat": ("openai", "/v1"),
    "anthropic_messages": ("anthropic", ""),
    "openai_responses": ("openai_responses", "/v1"),
    "google_generate": ("google-genai", ""),
}
"""For each wire: Kimi Code's name for it, and how its addresses begin."""

_NO_COMPACTION = {"reserved_context_size": 0, "compaction_trigger_ratio": 0.99, "compaction_max_attempts": 1}
"""The settings with which Kimi Code compacts as late and as rarely as it can."""

_SCRIPT = """\
// Runs before Kimi Code. Gives it the prompt on standard input as an argument that no other process can see.
// At the end, tells the MCP servers that were missing, and how often the conversation was compacted.
import { existsSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

const folder = `${process.env.HOME}/.kimi-code`;
const text = (file) => (existsSync(file) ? readFileSync(file, "utf8") : "");
const logged = () => text(`${folder}/logs/kimi-code.log`);
const compactions = () => {
  const files = existsSync(`${folder}/sessions`) ? readdirSync(`${folder}/sessions`, { recursive: true }) : [];
  const main = files.filter((file) => file.endsWith("agents/main/wire.jsonl"));
  return main.map((file) => text(`${folder}/sessions/${file}`).split('"full_compaction.complete"').length - 1)
    .reduce((sum, count) => sum + count, 0);
};

if (isMainThread) {
  delete process.env.NODE_OPTIONS;
  process.argv.push("--prompt", readFileSync(0, "utf8"));
  const [before, compacted] = [logged().length, compactions()];
  process.on("exit", () => {
    for (const [, said] of logged().slice(before).matchAll(/ERROR mcp server unavailable +(.*)/g))
      writeSync(2, `mcp server unavailable: ${said}\\n`);
    for (let count = compactions(); count > compacted; count--)
      writeSync(2, "conversation compacted\\n");
  });
}
"""


def _script(spec: SessionSpec) -> str:
    return f"{spec.home}/prompt.mjs"


def _toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the tables as TOML. Its strings are JSON's."""
    lines = []
    for name, values in tables.items():
        lines += [f"[{name}]"] if name else []
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join([*lines, ""])
