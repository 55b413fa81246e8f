"""What the gateway notes of a session's first request with tools: the API, the tools and the sampling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.gateway.first_request import FirstRequest
from tests.support.gateway_client import CHAT, GOOGLE, MESSAGES, RESPONSES, address, conversation
from tests.support.scripted_gateway import PATHS, Opener, scripted_gateway


@pytest.fixture(scope="module")
def opener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    with scripted_gateway(tmp_path_factory.mktemp("gateway")) as opener:
        yield opener


def noted(opener: Opener, path: str, **body: Any) -> FirstRequest:
    """Return what is noted of a request with these keys in its body."""
    session = opener()
    session.client.post(address(path, stream=False), json=conversation(path, 0, stream=False) | body)
    found = session.account.first_request
    assert found is not None
    return found


@PATHS
def test_equal_requests_are_equal_and_other_tools_are_not(opener: Opener, path: str) -> None:
    first = noted(opener, path)
    assert noted(opener, path) == first
    key = "parameters" if path != MESSAGES else "input_schema"
    other = {"type": "object", "properties": {"command": {"type": "string"}}}
    tool = {"name": "bash", "description": "d", key: other}
    tools: dict[str, list[Any]] = {
        CHAT: [{"type": "function", "function": tool}],
        RESPONSES: [{"type": "function", **tool}],
        MESSAGES: [tool],
        GOOGLE: [{"functionDeclarations": [tool]}],
    }
    assert noted(opener, path, tools=tools[path]).tools != first.tools


@pytest.mark.parametrize(
    ("path", "body", "sampling"),
    [
        (CHAT, {"temperature": 0.5, "top_p": None, "stop": "me"}, "temperature=0.5"),
        (RESPONSES, {"reasoning": {"effort": "high", "summary": None}}, "reasoning.effort=high"),
        (MESSAGES, {"max_tokens": 10, "thinking": {"type": "adaptive"}}, "max_tokens=10 thinking.type=adaptive"),
        (GOOGLE, {"generationConfig": {"topK": 3, "temperature": 1}}, "generationConfig.temperature=1 "),
    ],
)
def test_the_settings_of_sampling_are_listed(opener: Opener, path: str, body: dict[str, Any], sampling: str) -> None:
    assert sampling in noted(opener, path, **body).sampling
    assert "stop" not in noted(opener, path, **body).sampling


def test_the_effort_that_a_message_states_is_listed_beside_the_requests_own(opener: Opener) -> None:
    body = conversation(MESSAGES, 0, stream=False)
    stated = [{"role": "system", "content": "x", "output_config": {"effort": effort}} for effort in ("max", "low")]
    found = noted(opener, MESSAGES, messages=[*body["messages"], *stated], output_config={"effort": "high"})
    assert found.sampling.endswith("messages[].output_config.effort=low output_config.effort=high")


def test_the_version_of_the_api_is_noted(opener: Opener) -> None:
    session = opener()
    session.client.headers["anthropic-version"] = "2023-06-01"
    session.ask(MESSAGES)
    assert session.account.first_request
    assert session.account.first_request.api == "v1 2023-06-01"
    assert noted(opener, GOOGLE).api == "v1beta"


def test_the_path_of_the_workspace_does_not_count(opener: Opener) -> None:
    """Without a sandbox, each session has a workspace of its own, and a CLI may tell it in a schema."""

    def told(folder: str) -> FirstRequest:
        schema = {"type": "object", "properties": {"path": {"description": f"a file below {folder}"}}}
        tools = [{"type": "function", "function": {"name": "read", "parameters": schema}}]
        return noted(opener, CHAT, tools=tools)

    assert told("/sandbox/workspace") == told("WORKSPACE") != told("/elsewhere")


def test_only_the_first_request_with_tools_counts(opener: Opener) -> None:
    session = opener("[{text: a}, {text: b}]")
    session.ask(CHAT, tools=False)
    assert session.account.first_request is None
    session.ask(CHAT, temperature=0.1)
    session.ask(CHAT, 1, temperature=0.9)
    assert session.account.first_request
    assert session.account.first_request.sampling == "temperature=0.1"


def test_a_request_that_is_refused_is_noted_too(opener: Opener) -> None:
    session = opener()
    session.account.end("turn_limit")
    session.ask(CHAT)
    assert session.account.first_request
