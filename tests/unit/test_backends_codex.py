"""What Codex reports only on standard error, and how its errors are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends import events as ev
from backends.events import ErrorKind, Usage
from backends.registry import backend
from backends.session import fold

CODEX = backend("codex")


def response(second: int, thread: str = "t1", **changed: int) -> str:
    """Return the line of the log about one response."""
    counts = {"input_token_count": 100, "output_token_count": 9, "cached_token_count": 60}
    counts |= {"cache_write_token_count": 10, "reasoning_token_count": 4, "tool_token_count": 109}
    said = " ".join(f"{name}={count}" for name, count in (counts | changed).items())
    return (
        f'2026-11-22T12:40:0{second}.572609Z  INFO codex_otel.trace_safe: event.name="codex.sse_event" '
        f"event.kind=response.completed {said} ttft_ms=1 conversation.id={thread} app.version=0.169.0\n"
    )


def failed(message: str) -> tuple[ev.Event, ...]:
    return CODEX.decode(json.dumps({"type": "turn.failed", "error": {"message": message}}).encode())


def test_the_log_reports_every_response_with_its_tokens() -> None:
    log = "WARN something else\n" + response(1) + response(2, input_token_count=70) + response(2, thread="subagent")
    session = fold(CODEX.read_stderr(log))
    assert session.turns == 3
    assert session.usage == Usage(
        input_tokens=60, output_tokens=27, cache_read_tokens=180, cache_write_tokens=30, reasoning_tokens=12
    )


def test_a_response_reported_afterwards_changes_only_the_counts() -> None:
    session = fold([*failed("Connection failed: error sending request"), *CODEX.read_stderr(response(1))])
    assert (session.turns, session.empty_turns) == (1, 0)
    assert session.failure is not None
    assert session.final is not None


def test_a_required_mcp_server_that_failed_is_named() -> None:
    log = (
        "2026-11-22T12:43:05Z ERROR codex_core::session: Failed to create session: required MCP servers failed to "
        "initialize: environment: handshaking failed\nError: thread/start: thread/start failed: Fatal error: Failed to "
        "initialize session: required MCP servers failed to initialize: environment: handshaking failed\n"
    )
    assert CODEX.read_stderr(log) == (ev.McpStatus(server="environment", status="failed"),)


def test_another_mcp_server_that_failed_is_named_by_a_warning() -> None:
    message = "MCP client for `lab` failed to start: MCP startup failed: handshaking with MCP server failed"
    item = {"id": "item_0", "type": "error", "message": message}
    events = CODEX.decode(json.dumps({"type": "item.completed", "item": item}).encode())
    assert events == (ev.McpStatus(server="lab", status="failed"),)


@pytest.mark.parametrize(
    ("message", "kind", "status"),
    [
        ("unexpected status 401 Unauthorized: no, url: http://127.0.0.1:1/v1/responses", ErrorKind.AUTH, 401),
        ("exceeded retry limit, last status: 429 Too Many Requests", ErrorKind.RATE_LIMIT, 429),
        (
            "We\u2019re currently experiencing high demand, which may cause temporary errors.",
            ErrorKind.MODEL_ERROR,
            None,
        ),
        ("Connection failed: error sending request", ErrorKind.MODEL_UNREACHABLE, None),
        ("stream disconnected before completion: stream closed", ErrorKind.MODEL_ERROR, None),
        ("Incomplete response returned, reason: max_output_tokens", ErrorKind.OUTPUT_TOKENS, None),
        ('{"error":{"message":"maximum context length is 9"}}', ErrorKind.CONTEXT_OVERFLOW, 400),
        ('{"error":{"message":"bad"}}', ErrorKind.MODEL_ERROR, 400),
    ],
)
def test_the_kind_of_an_error_is_read_from_its_words(message: str, kind: ErrorKind, status: int | None) -> None:
    [error] = [event for event in failed(message) if isinstance(event, ev.Error)]
    assert (error.kind, error.status) == (kind, status)


def test_a_retry_is_not_a_failure() -> None:
    line = {"type": "error", "message": "Reconnecting... 2/5 (unexpected status 500 Internal Server Error: boom)"}
    [retry] = CODEX.decode(json.dumps(line).encode())
    assert retry == ev.Retry(
        attempt=2, max_attempts=5, status=500, error="unexpected status 500 Internal Server Error: boom"
    )


@pytest.mark.parametrize(
    ("shown", "given"),
    [
        ("/bin/sh -c 'python approach.py'", "python approach.py"),
        ('/bin/bash -lc "echo \\"a b\\""', 'echo "a b"'),
        (
            """/bin/sh -c "cat > b.py <<'EOF'\nprint('x', \\""'$HOME", `ls`, "'"\\\\n\\")\nEOF\ncat b.py\"""",
            """cat > b.py <<'EOF'\nprint('x', "$HOME", `ls`, "\\n")\nEOF\ncat b.py""",
        ),
        ("ls -l", "ls -l"),
        ("/bin/sh -c 'unclosed", "/bin/sh -c 'unclosed"),
    ],
)
def test_a_command_is_the_one_that_the_model_gave(shown: str, given: str) -> None:
    item = {"id": "item_1", "type": "command_execution", "command": shown, "status": "in_progress"}
    [call] = CODEX.decode(json.dumps({"type": "item.started", "item": item}).encode())
    assert isinstance(call, ev.ToolCall)
    assert call.arguments == {"cmd": given}


@pytest.mark.parametrize(
    ("item", "output"),
    [
        ({"type": "command_execution", "aggregated_output": "naïve\n"}, "naïve\n"),
        ({"type": "command_execution", "aggregated_output": None}, ""),
        (
            {
                "type": "mcp_tool_call",
                "result": {"content": [{"type": "text", "text": "one"}, {"type": "image", "data": "aa"}]},
            },
            "one\n[image]",
        ),
        ({"type": "mcp_tool_call", "result": None, "error": {"message": "refused"}}, "refused"),
        ({"type": "collab_tool_call", "tool": "spawn_agent"}, ""),
        ({"type": "file_change", "changes": []}, ""),
    ],
)
def test_the_result_of_a_call_is_read_from_its_end(item: dict[str, Any], output: str) -> None:
    line = {"type": "item.completed", "item": {"id": "item_1", "status": "completed", **item}}
    *_, result = CODEX.decode(json.dumps(line).encode())
    assert isinstance(result, ev.ToolResult)
    assert (result.call_id, result.output, result.is_error) == ("item_1", output, False)


@pytest.mark.parametrize(
    ("message", "attempt", "most", "cause"),
    [
        ("Reconnecting... 1/5", 1, 5, ""),
        ("Reconnecting... 2/5 (stream disconnected)", 2, 5, "stream disconnected"),
        ("Reconnecting...", 0, 0, ""),
        ("Reconnecting... waiting for network (no route)", 0, 0, "no route"),
    ],
)
def test_a_reconnection_is_a_retry_whether_or_not_it_has_a_cause(
    message: str, attempt: int, most: int, cause: str
) -> None:
    events = CODEX.decode(json.dumps({"type": "error", "message": message}).encode())
    assert events == (ev.Retry(attempt=attempt, max_attempts=most, error=cause),)


def test_a_completed_turn_means_that_any_error_before_it_was_overcome() -> None:
    error = CODEX.decode(b'{"type":"error","message":"stream disconnected"}')
    assert fold(error).failure is not None
    assert fold([*error, *CODEX.decode(b'{"type":"turn.completed"}')]).failure is None
