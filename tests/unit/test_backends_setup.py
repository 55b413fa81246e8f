"""How each backend calls and configures its CLI."""

from __future__ import annotations

import json
import sys
import tomllib
from typing import Any, get_args

import pytest

from backends.base import Backend, McpEndpoint, SessionSpec
from backends.registry import backend, names
from harness.case import Limits, Wire

WORKSPACE, HOME = "/box/workspace", "/box/home"


def spec(**changed: Any) -> SessionSpec:
    fields: dict[str, Any] = {
        "executable": "/cli/bin/agent",
        "workspace": WORKSPACE,
        "home": HOME,
        "model": "qwen3:32b",
        "context": 65_536,
        "model_url": "http://127.0.0.1:4000",
        "wire": "openai_chat",
        "mcp": (McpEndpoint("proctor", "http://127.0.0.1:4001/mcp"),),
        "instructions": "Be brief.",
    }
    return SessionSpec(**fields | changed)


@pytest.fixture(params=names())
def any_backend(request: pytest.FixtureRequest) -> Backend:
    return backend(request.param)


@pytest.fixture(params=[name for name in names() if backend(name).capabilities.resume])
def resuming_backend(request: pytest.FixtureRequest) -> Backend:
    return backend(request.param)


@pytest.fixture(params=[name for name in names() if backend(name).capabilities.mcp])
def mcp_backend(request: pytest.FixtureRequest) -> Backend:
    return backend(request.param)


def test_the_registry_knows_the_backends() -> None:
    assert {"claude", "codex", "opencode", "pi"} <= set(names())
    assert list(names()) == sorted(names())


def test_a_backend_has_the_name_by_which_it_is_found(any_backend: Backend) -> None:
    assert backend(any_backend.name) is any_backend


@pytest.mark.parametrize("name", ["codexx", "", "base", "events", "reading", "../claude"])
def test_an_unknown_backend_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(ValueError, match=f"choose one of: {', '.join(names())}"):
        backend(name)


def test_backends_import_nothing_of_the_harness(any_backend: Backend) -> None:
    package = type(any_backend).__module__.removesuffix(".adapter")
    for module in [module for name, module in sys.modules.items() if name == package or name.startswith(f"{package}.")]:
        used = [str(getattr(value, "__module__", "")) for value in vars(module).values()]
        assert not [name for name in used if name.startswith("harness")]


def test_files_are_in_the_workspace_or_the_home(any_backend: Backend) -> None:
    for path in any_backend.config_files(spec()):
        assert path.startswith((f"{WORKSPACE}/", f"{HOME}/"))
        assert ".." not in path


def test_the_command_has_executable_and_model_but_no_address_or_instructions(any_backend: Backend) -> None:
    command = any_backend.command(spec())
    assert command[0] in ("/cli/bin/agent", "/cli/bin/python", "node")  # the CLI, or what runs the adapter's program
    assert any(word.endswith("qwen3:32b") for word in command)
    assert not [word for word in command if "127.0.0.1" in word or "Be brief." in word]


def test_the_instructions_are_in_one_file_unless_there_are_none(any_backend: Backend) -> None:
    assert list(any_backend.config_files(spec()).values()).count("Be brief.") == 1
    assert not [path for path in any_backend.config_files(spec(instructions="")) if path.endswith(".md")]


def test_the_mcp_server_is_configured_and_the_prompt_names_its_tools(mcp_backend: Backend) -> None:
    texts = "\n".join(mcp_backend.config_files(spec()).values())
    assert "http://127.0.0.1:4001/mcp" in texts
    assert mcp_backend.tool_name("proctor", "") in mcp_backend.prompt_hints(spec())
    assert mcp_backend.prompt_hints(spec(mcp=())) == ""


def test_the_capabilities_of_a_backend_use_the_words_of_the_harness(any_backend: Backend) -> None:
    capabilities = any_backend.capabilities
    assert capabilities.wires
    assert set(capabilities.wires) <= set(get_args(Wire))
    assert set(any_backend.own_limits.values()) <= set(Limits.__struct_fields__)


def test_a_backend_can_ask_the_model_over_each_of_its_wires(any_backend: Backend) -> None:
    for wire in any_backend.capabilities.wires:
        asked = spec(wire=wire)
        said = "\n".join([*any_backend.config_files(asked).values(), *any_backend.environment(asked).values()])
        assert "http://127.0.0.1:4000" in said


def test_a_conversation_is_resumed_by_its_id(resuming_backend: Backend) -> None:
    assert "session-7" in resuming_backend.command(spec(resume="session-7"))
    assert "session-7" not in resuming_backend.command(spec())


def test_a_conversation_is_compacted_by_a_prompt_or_by_the_configuration(resuming_backend: Backend) -> None:
    """What says so is exactly one of the two, if the CLI can compact on demand."""
    changed = [
        setting(spec(resume="session-7", compact=True)) != setting(spec(resume="session-7"))
        for setting in (resuming_backend.config_files, resuming_backend.environment)
    ]
    prompt = resuming_backend.compact_prompt is not None
    assert (any(changed) or prompt) is resuming_backend.capabilities.compact
    assert not (any(changed) and prompt)


def test_a_conversation_is_kept_in_files_in_the_home(resuming_backend: Backend) -> None:
    patterns = resuming_backend.conversation_files("session-7")
    assert patterns
    assert not [pattern for pattern in patterns if pattern.startswith("/") or ".." in pattern]


def test_an_id_is_not_a_pattern(resuming_backend: Backend) -> None:
    """The id comes from a stream, and another conversation's file must not pass for this one's."""
    (pattern, *_), (of_any, *_) = resuming_backend.conversation_files("ID"), resuming_backend.conversation_files("*")
    assert of_any == pattern.replace("ID", "[*]")


def test_names_and_values_of_variables_are_text(any_backend: Backend) -> None:
    environment = any_backend.environment(spec())
    assert all(isinstance(value, str) for value in environment.values())
    assert not {"HOME", "PATH", "TMPDIR", "LANG"} & set(environment)


def test_an_unknown_option_is_refused_with_the_choices(any_backend: Backend) -> None:
    with pytest.raises(ValueError, match=r"`speed`.*the options are: \w+"):
        any_backend.config_files(spec(options={"speed": 3}))


def test_tool_names_are_the_ones_that_the_clis_show() -> None:
    assert backend("claude").tool_name("proctor", "render_state") == "mcp__proctor__render_state"
    assert backend("codex").tool_name("proctor", "render_state") == "mcp__proctor.render_state"
    assert backend("opencode").tool_name("proctor", "render_state") == "proctor_render_state"
    assert backend("opencode").tool_name("my server", "a.b") == "my_server_a_b"


class TestClaude:
    adapter = backend("claude")

    def test_the_command_line_is_as_written(self) -> None:
        assert self.adapter.command(spec())[1:] == [
            *("-p", "--output-format", "stream-json", "--verbose"),
            *("--model", "qwen3:32b", "--dangerously-skip-permissions"),
            *("--tools", "Bash,Read,Write,Edit,Glob,Grep,Task"),
            *("--setting-sources", "project"),
            *("--mcp-config", f"{HOME}/mcp.json", "--strict-mcp-config"),
        ]

    def test_tools_can_be_chosen(self) -> None:
        assert "Bash,Write" in self.adapter.command(spec(options={"tools": ["Bash", "Write"]}))

    def test_mcp_servers_are_configured(self) -> None:
        config = json.loads(self.adapter.config_files(spec())[f"{HOME}/mcp.json"])
        assert config == {"mcpServers": {"proctor": {"type": "http", "url": "http://127.0.0.1:4001/mcp"}}}

    def test_no_request_asks_for_a_model_that_nobody_serves(self) -> None:
        environment = self.adapter.environment(spec())
        models = {name: value for name, value in environment.items() if name.endswith("_MODEL")}
        assert set(models.values()) == {"qwen3:32b"}
        kinds = {f"ANTHROPIC_DEFAULT_{kind}_MODEL" for kind in ("OPUS", "SONNET", "HAIKU", "FABLE")}
        assert models.keys() == kinds | {"ANTHROPIC_SMALL_FAST_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL"}
        assert environment["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:4000"

    def test_it_waits_for_mcp_and_gives_up_soon_on_outages(self) -> None:
        environment = self.adapter.environment(spec())
        assert environment["MCP_CONNECTION_NONBLOCKING"] == "0"
        assert environment["CLAUDE_CODE_MAX_RETRIES"] == "1"
        assert self.adapter.environment(spec(options={"max_retries": 4}))["CLAUDE_CODE_MAX_RETRIES"] == "4"

    def test_it_compacts_when_a_request_is_refused_or_from_a_percentage_on(self) -> None:
        variables = {"CLAUDE_CODE_AUTO_COMPACT_WINDOW", "CLAUDE_AUTOCOMPACT_PCT_OVERRIDE"}
        assert not variables & set(self.adapter.environment(spec()))
        small = self.adapter.environment(spec(options={"compact_at": 80}))
        assert [small[name] for name in sorted(variables)] == ["80", "100000"]
        large = self.adapter.environment(spec(context=200_000, options={"compact_at": 80}))
        assert large["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] == "200000"

    def test_the_tokens_of_a_response_are_a_share_of_the_context_or_as_given(self) -> None:
        name = "CLAUDE_CODE_MAX_OUTPUT_TOKENS"
        assert self.adapter.environment(spec())[name] == "16384"
        assert self.adapter.environment(spec(options={"max_output_tokens": 9000}))[name] == "9000"

    def test_it_keeps_to_the_context_of_the_model(self) -> None:
        environment = self.adapter.environment(spec(context=8192))
        assert environment["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "8192"
        assert environment["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "2048"

    @pytest.mark.parametrize("options", [{"max_retries": -1}, {"tools": []}, {"tools": "Bash"}])
    def test_bad_options_are_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="the options are: tools, max_retries"):
            self.adapter.command(spec(options=options))


class TestOpenCode:
    adapter = backend("opencode")

    def config(self, **changed: Any) -> Any:
        return json.loads(self.adapter.config_files(spec(**changed))[f"{HOME}/.config/opencode/opencode.json"])

    def test_the_command_line_is_as_written(self) -> None:
        assert self.adapter.command(spec())[1:] == [
            *("run", "--format", "json", "--thinking", "--title", "session"),
            *("--print-logs", "--log-level", "WARN", "--model", "proctor/qwen3:32b"),
        ]

    def test_variant_and_log_level_are_configured(self) -> None:
        options = {"variant": "high", "log_level": "INFO"}
        command = self.adapter.command(spec(options=options))
        assert command[-2:] == ["--variant", "high"]
        assert command[command.index("--log-level") + 1] == "INFO"
        model = self.config(options=options)["provider"]["proctor"]["models"]["qwen3:32b"]
        assert model["variants"] == {"high": {"reasoningEffort": "high"}}

    def test_nothing_is_written_into_the_workspace(self) -> None:
        assert not [path for path in self.adapter.config_files(spec()) if path.startswith(WORKSPACE)]
        assert self.adapter.environment(spec())["OPENCODE_DISABLE_PROJECT_CONFIG"] == "1"

    def test_it_asks_for_no_permission_and_never_compacts_by_itself(self) -> None:
        config = self.config()
        assert config["permission"] == "allow"
        assert config["compaction"]["auto"] is False
        assert self.adapter.environment(spec())["OPENCODE_DISABLE_AUTOCOMPACT"] == "1"
        assert config["share"] == "disabled"

    def test_the_provider_and_the_limits_of_the_model_are_configured(self) -> None:
        provider = self.config(context=8192)["provider"]["proctor"]
        assert provider["options"]["baseURL"] == "http://127.0.0.1:4000/v1"
        assert provider["models"]["qwen3:32b"]["limit"] == {"context": 8192, "output": 2048}

    @pytest.mark.parametrize(
        ("wire", "package", "path", "effort"),
        [
            ("openai_chat", "@ai-sdk/openai-compatible", "/v1", {"reasoningEffort": "high"}),
            ("openai_responses", "@ai-sdk/openai", "/v1", {"reasoningEffort": "high"}),
            ("anthropic_messages", "@ai-sdk/anthropic", "/v1", {"thinking": {"type": "adaptive"}, "effort": "high"}),
            (
                "google_generate",
                "@ai-sdk/google",
                "/v1beta",
                {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "high"}},
            ),
        ],
    )
    def test_every_wire_has_its_provider_package(self, wire: str, package: str, path: str, effort: Any) -> None:
        provider = self.config(wire=wire, options={"variant": "high"})["provider"]["proctor"]
        assert (provider["npm"], provider["options"]["baseURL"]) == (package, f"http://127.0.0.1:4000{path}")
        assert provider["models"]["qwen3:32b"]["variants"] == {"high": effort}

    def test_a_bad_log_level_is_refused(self) -> None:
        with pytest.raises(ValueError, match="log_level"):
            self.adapter.command(spec(options={"log_level": "LOUD"}))

    @pytest.mark.parametrize("changed", [{"options": {"compaction": True}}, {"compact": True}])
    def test_it_compacts_if_an_option_or_the_session_says_so(self, changed: dict[str, Any]) -> None:
        [text] = [text for name, text in self.adapter.config_files(spec(**changed)).items() if name.endswith(".json")]
        assert json.loads(text)["compaction"] == {"auto": True, "prune": False}
        assert "OPENCODE_DISABLE_AUTOCOMPACT" not in self.adapter.environment(spec(**changed))


class TestCodex:
    adapter = backend("codex")

    def config(self, **changed: Any) -> Any:
        return tomllib.loads(self.adapter.config_files(spec(**changed))[f"{HOME}/.codex/config.toml"])

    def test_the_command_line_is_as_written(self) -> None:
        assert self.adapter.command(spec())[1:] == [
            *("exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
            *("--model", "qwen3:32b", "-"),
        ]
        assert self.adapter.command(spec(resume="7"))[-3:] == ["resume", "7", "-"]

    def test_it_uses_our_provider_and_gives_up_soon_on_outages(self) -> None:
        config = self.config(options={"max_retries": 4})
        provider = config["model_providers"][config["model_provider"]]
        assert (provider["base_url"], provider["wire_api"]) == ("http://127.0.0.1:4000/v1", "responses")
        assert (provider["request_max_retries"], provider["stream_max_retries"]) == (4, 4)
        assert config["features"]["unbounded_connection_retries"] is False

    def test_it_keeps_to_the_context_of_the_model(self) -> None:
        assert self.config(context=8192)["model_context_window"] == 8192

    def test_it_does_not_start_without_its_mcp_server(self) -> None:
        server = self.config()["mcp_servers"]["proctor"]
        assert (server["url"], server["required"]) == ("http://127.0.0.1:4001/mcp", True)

    def test_every_model_is_offered_the_mcp_tools_by_their_names_in_the_prompt(self) -> None:
        namespaces = self.config()["features"]["code_mode"]["direct_only_tool_namespaces"]
        assert [f"{name}.render_state" for name in namespaces] == [self.adapter.tool_name("proctor", "render_state")]

    def test_subagents_use_the_served_model(self) -> None:
        assert self.config()["features"]["multi_agent_v2"] == {"expose_spawn_agent_model_overrides": False}

    def test_it_reads_only_our_instructions(self) -> None:
        assert self.config()["project_doc_max_bytes"] == 0
        assert self.adapter.config_files(spec())[f"{HOME}/.codex/AGENTS.md"] == "Be brief."

    def test_the_reasoning_effort_is_configured(self) -> None:
        assert self.config(options={"reasoning_effort": "high"})["model_reasoning_effort"] == "high"
        assert "model_reasoning_effort" not in self.config()

    def test_any_text_is_written_as_toml(self) -> None:
        assert self.config(options={"reasoning_effort": 'a"b\\\nü'})["model_reasoning_effort"] == 'a"b\\\nü'


class TestPi:
    adapter = backend("pi")

    def file(self, name: str, **changed: Any) -> Any:
        return json.loads(self.adapter.config_files(spec(**changed))[f"{HOME}/.pi/agent/{name}.json"])

    def test_the_command_line_is_as_written(self) -> None:
        assert self.adapter.command(spec())[1:] == [
            *("--mode", "json", "--print", "--offline"),
            *("--provider", "proctor", "--model", "qwen3:32b", "--thinking", "off"),
            *("--no-context-files", "--no-extensions", "--no-skills", "--no-prompt-templates", "--no-themes"),
            *("--append-system-prompt", f"{HOME}/.pi/agent/instructions.md"),
        ]

    def test_it_uses_our_provider_and_keeps_to_the_context_of_the_model(self) -> None:
        provider = self.file("models", context=8192)["providers"]["proctor"]
        assert provider["baseUrl"] == "http://127.0.0.1:4000/v1"
        [model] = provider["models"]
        assert (model["contextWindow"], model["maxTokens"], model["reasoning"]) == (8192, 2048, False)

    @pytest.mark.parametrize(
        ("wire", "api", "path"),
        [
            ("openai_chat", "openai-completions", "/v1"),
            ("openai_responses", "openai-responses", "/v1"),
            ("anthropic_messages", "anthropic-messages", ""),
            ("google_generate", "google-generative-ai", "/v1beta"),
        ],
    )
    def test_every_wire_has_its_api(self, wire: str, api: str, path: str) -> None:
        provider = self.file("models", wire=wire)["providers"]["proctor"]
        assert (provider["api"], provider["baseUrl"]) == (api, f"http://127.0.0.1:4000{path}")

    def test_it_gives_up_soon_on_outages_and_never_compacts_by_itself(self) -> None:
        settings = self.file("settings", options={"max_retries": 4})
        assert settings["retry"] == {"maxRetries": 4, "provider": {"maxRetries": 0}}
        assert settings["compaction"] == {"enabled": False}

    def test_the_thinking_level_is_passed_on(self) -> None:
        options = {"thinking": "high"}
        assert "high" in self.adapter.command(spec(options=options))
        assert self.file("models", options=options)["providers"]["proctor"]["models"][0]["reasoning"] is True
        with pytest.raises(ValueError, match="thinking"):
            self.adapter.command(spec(options={"thinking": "loud"}))

    def test_it_has_no_mcp(self) -> None:
        assert not self.adapter.capabilities.mcp
        assert "4001" not in "".join(self.adapter.config_files(spec()).values())
        with pytest.raises(NotImplementedError, match="no MCP"):
            self.adapter.tool_name("proctor", "render_state")
