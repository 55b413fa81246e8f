"""A session whose system prompt and built-in tools the user has chosen."""

from __future__ import annotations

import json
from typing import Any

from backends.base import McpEndpoint, SessionSpec
from backends.registry import backend

PROMPT = "Answer in one short sentence.\n--tools '*'"


def spec(name: str, options: dict[str, Any]) -> SessionSpec:
    return SessionSpec(
        executable=f"/cli/{name}",
        workspace="/workspace",
        home="/home",
        model="tiny",
        context=8192,
        model_url="http://127.0.0.1:1",
        wire=backend(name).capabilities.wires[0],
        mcp=(McpEndpoint("the env", "http://127.0.0.1:2/mcp"),),
        options=options,
    )


def agent(options: dict[str, Any]) -> dict[str, Any]:
    """Return OpenCode's configuration of its agent `build`."""
    (config,) = backend("opencode").config_files(spec("opencode", options)).values()
    found: dict[str, Any] = json.loads(config)["agent"]["build"]
    return found


def test_claude_reads_a_given_system_prompt_from_a_file() -> None:
    given = spec("claude", {"system_prompt": PROMPT, "tools": ["Write"]})
    command = backend("claude").command(given)
    path = command[command.index("--system-prompt-file") + 1]
    assert backend("claude").config_files(given)[path] == PROMPT
    assert command[command.index("--tools") + 1] == "Write"
    assert PROMPT not in command


def test_claude_has_its_own_system_prompt_if_none_is_given() -> None:
    assert "--system-prompt-file" not in backend("claude").command(spec("claude", {}))


def test_opencode_gets_the_prompt_the_chosen_tools_and_the_environments_tools() -> None:
    assert agent({"system_prompt": PROMPT, "tools": ["write"]}) == {
        "prompt": PROMPT,
        "tools": {"*": False, "write": True, "the_env_*": True},
    }


def test_opencodes_own_agent_is_unchanged_if_nothing_is_given() -> None:
    assert agent({}) == {}


def test_opencode_can_be_limited_to_the_environments_tools() -> None:
    assert agent({"tools": []}) == {"tools": {"*": False, "the_env_*": True}}
