"""Calls and configures Codex: `codex exec --json`.

Measured with Codex 0.169.0:

- Without `unbounded_connection_retries = false`, it retries a refused connection forever.
- The stream does not report an MCP server that fails. With `required`, the CLI stops before its first request and says
  so on standard error. It offers the tools of a server as a namespace of functions.
- For a model that it does not know, it warns (an `error` item) and uses default settings, but the configured context.
- To some models that it knows, it offers MCP tools only after a search (gpt-5.5), or most tools only in scripts
  (gpt-5.6, gpt-6): `functions.exec` runs JavaScript that calls `tools.exec_command` and others. The stream shows these
  calls but not the call of `functions.exec`. `features.code_mode = false` changes nothing: the instructions of gpt-6
  rely on code mode. With `direct_only_tool_namespaces`, it offers MCP tools to every model under one name. Subagents
  of these models (`collaboration`) appear only as responses.
- `project_doc_max_bytes = 0` makes it ignore AGENTS.md in the workspace and above. It still reads the one in its home.
- It has no command that compacts a conversation. Before a response, it compacts a conversation whose last response had
  `model_auto_compact_token_limit` tokens; by default, 90% of the context. A session that has to compact takes half of
  the context, so that it does so at once, and then rarely.
- It keeps a conversation in `.codex/sessions/YEAR/MONTH/DAY/rollout-TIME-ID.jsonl` and writes it as it goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from glob import escape
from typing import Annotated, Any

from msgspec import Meta, Struct

from backends import events as ev
from backends.base import Backend, Capabilities, NpmPackage, ReportingQuirks, SessionSpec, plain_name
from backends.codex import stream
from backends.options import read_options

_PROVIDER = "proctor"


class CodexOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`reasoning_effort` goes to the model. `max_retries` is how often a failed request or stream is repeated."""

    reasoning_effort: str | None = None
    max_retries: Annotated[int, Meta(ge=0)] = 1


class Codex(Backend):
    """The adapter of Codex."""

    name = "codex"
    installation = NpmPackage(package="@openai/codex", executable="codex", licence="Apache-2.0", megabytes=424)
    options = CodexOptions
    capabilities = Capabilities(mcp=True, resume=True, subagents=True, wires=("openai_responses",), compact=True)
    quirks = ReportingQuirks(
        hides_subagents=True, hides_refused_calls=True, counts_compactions=True, script_tool="functions.exec"
    )

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. Codex's own sandbox stays off, because Codex runs in Proctor's."""
        command = [spec.executable, "exec", "--json", "--skip-git-repo-check"]
        command += ["--dangerously-bypass-approvals-and-sandbox", "--model", spec.model]
        return [*command, *(["resume", spec.resume] if spec.resume else []), "-"]

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. All files are in the home."""
        options = read_options(CodexOptions, spec.options)
        tables: dict[str, dict[str, Any]] = {
            "": _settings(spec, options),
            "analytics": {"enabled": False},
            "features": dict.fromkeys(_FEATURES_OFF, False),
            "features.code_mode": {
                "direct_only_tool_namespaces": [stream.namespace(server.name) for server in spec.mcp]
            },
            "features.multi_agent_v2": {"expose_spawn_agent_model_overrides": False},
            "skills.bundled": {"enabled": False},
            f"model_providers.{_PROVIDER}": {
                "name": "Proctor",
                "base_url": f"{spec.model_url}/v1",
                "wire_api": "responses",
                "request_max_retries": options.max_retries,
                "stream_max_retries": options.max_retries,
            },
        }
        for server in spec.mcp:
            tables[f"mcp_servers.{plain_name(server.name)}"] = {
                "url": server.url,
                "required": True,
                "tool_timeout_sec": _TOOL_TIMEOUT_S,
            }
        files = {f"{spec.home}/.codex/config.toml": "\n".join(_toml(tables))}
        if spec.instructions:
            files[f"{spec.home}/.codex/AGENTS.md"] = spec.instructions
        return files

    def environment(self, spec: SessionSpec) -> dict[str, str]:  # noqa: ARG002 - the contract of Backend
        """See `Backend.environment`. The log has only errors, and the lines with a response's tokens."""
        return {"RUST_LOG": "error,codex_otel.trace_safe[{input_token_count}]=info", "NO_COLOR": "1"}

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        return stream.decode(line)

    def read_stderr(self, text: str) -> tuple[ev.Event, ...]:
        """See `Backend.read_stderr`: the model's responses, and required MCP servers that failed."""
        return stream.read_stderr(text)

    def conversation_files(self, session_id: str) -> tuple[str, ...]:
        """See `Backend.conversation_files`."""
        return (f".codex/sessions/*/*/*/rollout-*-{escape(session_id)}.jsonl",)

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`."""
        return stream.tool_name(server, tool)

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG002 - no option changes them
        """See `Backend.builtin_tools`. Which of them are offered depends on the model."""
        return _BUILTIN_TOOLS


BACKEND = Codex()

_TOOL_TIMEOUT_S = 600
"""Seconds that an MCP tool may take. Codex's default is 60, and an episode may take longer."""

_BUILTIN_TOOLS = frozenset(
    (
        *("exec_command", "write_stdin", "apply_patch", "view_image", "request_user_input", "tool_search"),
        *("list_mcp_resources", "list_mcp_resource_templates", "read_mcp_resource"),
        *(f"multi_agent_v1.{verb}_agent" for verb in ("spawn", "resume", "wait", "close")),
        "multi_agent_v1.send_input",
        *(f"collaboration.{verb}_agent" for verb in ("spawn", "interrupt", "wait")),
        *("collaboration.followup_task", "collaboration.list_agents", "collaboration.send_message"),
        *("functions.exec", "functions.wait", "clock.sleep"),
        *("functions.request_user_input", "functions.request_user_input_async"),
    )
)

_FEATURES_OFF = ("apps", "goals", "hooks", "plugins", "unbounded_connection_retries")


def _settings(spec: SessionSpec, options: CodexOptions) -> dict[str, Any]:
    settings = {
        "model_provider": _PROVIDER,
        "model_context_window": spec.context,
        "allow_login_shell": False,
        "check_for_update_on_startup": False,
        "project_doc_max_bytes": 0,
        "web_search": "disabled",
    }
    if options.reasoning_effort:
        settings["model_reasoning_effort"] = options.reasoning_effort
    if spec.compact:
        settings["model_auto_compact_token_limit"] = spec.context // 2
    return settings


def _toml(tables: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the tables as lines of TOML. TOML writes text, numbers and booleans as JSON does."""
    for name, table in tables.items():
        yield f"\n[{name}]" if name else ""
        yield from (f"{key} = {json.dumps(value)}" for key, value in table.items())
    yield ""
