"""Kinds of fault that the field found in one CLI, in the other CLIs and in other words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.registry import backend
from backends.session import Session, fold
from harness.agent.ending import classify


def read(name: str, *lines: dict[str, Any]) -> Session:
    return fold(event for line in lines for event in backend(name).decode(json.dumps(line).encode()))


def ending(session: Session, exit_code: int | None = 0) -> str:
    return classify(session, exit_code=exit_code, stderr_tail="")[0].value


def opencode_error(name: str, **data: Any) -> dict[str, Any]:
    return {"type": "error", "sessionID": "s", "error": {"name": name, "data": data}}


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("APIError", {"message": "words that nobody knows"}, "model_error"),
        ("APIError", {}, "model_error"),
        ("UnknownError", {"message": "words that nobody knows"}, "cli_crashed"),
        ("ProviderModelNotFoundError", {"providerID": "p", "modelID": "m"}, "model_error"),
        (
            "APIError",
            {"message": "Bad Request", "statusCode": 400, "responseBody": '{"code":"context_length_exceeded"}'},
            "context_overflow",
        ),
        (
            "APIError",
            {"message": "Forbidden", "statusCode": 403, "responseBody": "Content violates usage guidelines."},
            "refused",
        ),
        (
            "APIError",
            {"message": "Quota exceeded", "statusCode": 429, "responseBody": '{"retryDelay": "26s"}'},
            "rate_limited",
        ),
        (
            "APIError",
            {"message": "Quota exceeded", "statusCode": 429, "responseHeaders": {"Retry-After": "26"}},
            "rate_limited",
        ),
        ("APIError", {"message": "Quota exceeded", "statusCode": 429, "responseBody": "no"}, "auth_failed"),
    ],
)
def test_opencode_tells_an_error_also_by_its_name_and_by_the_answer(
    name: str, data: dict[str, Any], expected: str
) -> None:
    assert ending(read("opencode", opencode_error(name, **data)), exit_code=1) == expected


def test_a_body_tells_when_the_limit_ends() -> None:
    body = {"message": "Quota exceeded", "statusCode": 429, "responseBody": '{"retryDelay": "26s"}'}
    assert "26s" in str(read("opencode", opencode_error("APIError", **body)).resets_at)


def codex_item(type_: str, **fields: Any) -> dict[str, Any]:
    return {"type": "item.completed", "item": {"id": "i", "type": type_} | fields}


@pytest.mark.parametrize(
    ("warning", "absent"),
    [
        ("MCP client for `lab` failed to start: handshaking failed", {"lab"}),
        ("MCP client for `lab` timed out after 10 seconds. Add or adjust `startup_timeout_sec`", {"lab"}),
        ("MCP startup incomplete (failed: lab, my-files)", {"lab", "my-files"}),
        ("The lab MCP server is not logged in. Run `codex mcp login lab`.", {"lab"}),
        ("MCP servers are a fine thing", set()),
    ],
)
def test_codex_warns_of_absent_mcp_servers_in_several_words(warning: str, absent: set[str]) -> None:
    session = read("codex", codex_item("error", message=warning), {"type": "turn.completed"})
    assert set(session.absent_mcp) == absent
    assert ending(session) == ("mcp_unavailable" if absent else "finished")


@pytest.mark.parametrize(("fields", "errors"), [({"exit_code": 1}, 1), ({"exit_code": 0}, 0), ({}, 0)])
def test_a_command_without_a_status_fails_by_its_exit_code(fields: dict[str, Any], errors: int) -> None:
    assert read("codex", codex_item("command_execution", command="ls", **fields)).tool_errors == errors


@pytest.mark.parametrize(
    ("reason", "expected"), [("content-filter", "refused"), ("length", "output_token_limit"), ("stop", "cli_crashed")]
)
def test_a_response_that_was_cut_tells_more_than_an_exit_code(reason: str, expected: str) -> None:
    part = {"messageID": "m", "reason": reason}
    session = read(
        "opencode", {"type": "step_start", "part": {"messageID": "m"}}, {"type": "step_finish", "part": part}
    )
    assert ending(session, exit_code=1) == expected
    assert ending(session, exit_code=-9) == "cli_crashed"
