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


def said(id_: str, *content: dict[str, Any], parent: str | None = None, **message: Any) -> dict[str, Any]:
    fields = {"id": id_, "model": "m", "content": content} | message
    return {"type": "assistant", "message": fields, "parent_tool_use_id": parent}


def call(id_: str, name: str = "Bash") -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": name, "input": {}}


def answered(id_: str) -> dict[str, Any]:
    return {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": id_, "content": "ok"}]}}


TEXT = {"type": "text", "text": "x"}
SUCCESS = {"type": "result", "subtype": "success", "is_error": False}
LIMIT = {"type": "text", "text": "You've hit your limit \u00b7 resets 3pm"}


@pytest.mark.parametrize(
    "late",
    [
        said("s", call("s1"), parent="t"),
        said("s", TEXT, parent="t", stop_reason="refusal"),
        said("s", LIMIT, parent="t", model="<synthetic>") | {"error": "rate_limit"},
    ],
)
def test_what_a_subagent_does_last_does_not_decide(late: dict[str, Any]) -> None:
    lines = [said("a", call("t", "Task")), answered("t"), said("b", TEXT), late, SUCCESS]
    assert ending(read("claude", *lines)) == "finished"


def test_a_subagent_does_not_hide_a_call_that_never_ran() -> None:
    lines = [said("a", call("t", "Task"), call("u")), said("s", TEXT, parent="t"), answered("t"), SUCCESS]
    assert ending(read("claude", *lines)) == "silent_exit"


def test_a_subagent_may_show_by_an_item_that_only_completes() -> None:
    item = codex_item("collab_tool_call", tool="spawn_agent", status="completed")
    session = read("codex", item)
    assert (session.subagents, session.tool_calls, session.tool_results) == (1, 1, 1)


def test_a_session_that_goes_on_may_use_the_id_of_a_response_again() -> None:
    first, second = (said("chatcmpl-5", TEXT, usage={"input_tokens": sent}) for sent in (100, 150))
    assert read("claude", first, SUCCESS, second, SUCCESS).turns == 2


@pytest.mark.parametrize("name", ["claude", "codex", "opencode", "pi"])
@pytest.mark.parametrize("exit_code", [0, 1, None])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Error: EDQUOT: disk quota exceeded, write", "cli_crashed"),
        ("TypeError: no\n    at stream.rateLimit (cli.js:1)", "cli_crashed"),
        ("Claude AI usage limit reached|1795777936", "rate_limited"),
    ],
)
def test_standard_error_or_a_plain_text_tells_why_there_is_no_session(
    name: str, exit_code: int | None, text: str, expected: str
) -> None:
    assert classify(Session(), exit_code=exit_code, stderr_tail=text)[0] == expected
    printed = fold(event for event in backend(name).decode(text.encode()))
    assert classify(printed, exit_code=exit_code, stderr_tail="\n")[0] == expected


def test_a_response_goes_on_however_many_tools_answer_between_its_blocks() -> None:
    usage = {"input_tokens": 100, "output_tokens": 1}
    blocks = [said("m", call(f"t{n}"), usage=usage) for n in range(4)]
    lines = [blocks[0], answered("t0"), blocks[1], blocks[2], answered("t1"), blocks[3], answered("t2"), answered("t3")]
    session = read("claude", *lines)
    assert (session.turns, session.tool_calls, session.usage.input_tokens) == (1, 4, 100)
