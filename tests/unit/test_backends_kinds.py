"""Retries, compactions and denials, in each form in which a version of a CLI tells them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.registry import backend
from backends.session import Session, fold


def read(name: str, *lines: dict[str, Any]) -> Session:
    session = fold(event for line in lines for event in backend(name).decode(json.dumps(line).encode()))
    assert (session.unknown_events, session.malformed_lines, session.failure) == (0, 0, None)
    return session


def item(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"item.{kind}", "item": {"id": "i"} | fields}


WARNING = (
    "Heads up: Long threads and multiple compactions can cause the model to be less accurate. "
    "Start a new thread when possible to keep threads small and targeted."
)
COMPACTING = {"type": "system", "subtype": "status", "status": "compacting"}
COMPACTED = {"type": "system", "subtype": "status", "status": None, "compact_result": "success"}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("claude", [COMPACTING, COMPACTED, {"type": "system", "subtype": "compact_boundary"}]),
        (
            "claude",
            [{"type": "system", "subtype": "microcompact_boundary", "microcompact_metadata": {"trigger": "auto"}}],
        ),
        ("claude", [COMPACTING, COMPACTED]),
        ("claude", [{"type": "system", "subtype": "compact_boundary"}, COMPACTED]),
        ("codex", [item("completed", type="error", message=WARNING)]),
        ("codex", [item("completed", type="context_compaction"), item("completed", type="error", message=WARNING)]),
        ("codex", [item("started", type="context_compaction"), item("completed", type="context_compaction")]),
        ("opencode", [{"type": "compaction", "part": {"type": "compaction", "messageID": "m", "auto": True}}]),
        ("pi", [{"type": "compaction_start"}, {"type": "compaction_end", "result": {"tokensBefore": 9}}]),
        ("pi", [{"type": "auto_compaction_start"}, {"type": "auto_compaction_end", "result": {"tokensBefore": 9}}]),
    ],
)
def test_a_compaction_counts_once(name: str, lines: list[dict[str, Any]]) -> None:
    assert read(name, *lines).compactions == 1
    assert read(name, *lines, *lines).compactions_in_a_row == 2


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("claude", COMPACTED | {"compact_result": "failed"}),
        ("codex", item("completed", type="error", message="Model metadata not found.")),
        ("pi", {"type": "compaction_end", "aborted": True}),
        ("pi", {"type": "auto_compaction_end", "result": None, "errorMessage": "no"}),
    ],
)
def test_a_compaction_that_failed_is_none(name: str, line: dict[str, Any]) -> None:
    assert read(name, line).compactions == 0


RETRY = {"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 2, "error_status": 529}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("claude", RETRY),
        ("claude", RETRY | {"parent_tool_use_id": "toolu_1", "subagent_type": "general-purpose"}),
        ("codex", {"type": "error", "message": "Reconnecting... 1/5 (stream disconnected before completion)"}),
        ("codex", {"type": "error", "message": "stream error: unexpected status 529: busy; retrying 1/5 in 188ms…"}),
        ("opencode", {"type": "retry", "part": {"attempt": 1, "error": {"data": {"statusCode": 529}}}}),
        ("pi", {"type": "auto_retry_start", "attempt": 1, "errorMessage": "529 busy"}),
    ],
)
def test_a_retry_counts_also_that_of_a_subagent(name: str, line: dict[str, Any]) -> None:
    assert read(name, line).retries == 1


def tool_use(error: str) -> dict[str, Any]:
    state = {"status": "error", "input": {}, "error": error}
    return {"type": "tool_use", "part": {"messageID": "m", "callID": "c", "tool": "bash", "state": state}}


DENIAL = {"tool_name": "Bash", "tool_use_id": "c"}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("claude", {"type": "system", "subtype": "permission_denied"} | DENIAL),
        ("claude", {"type": "result", "subtype": "success", "permission_denials": [DENIAL]}),
        ("codex", item("completed", type="command_execution", command="rm x", status="declined")),
        ("opencode", tool_use("The user rejected permission to use this specific tool call.")),
        ("opencode", tool_use("The user has specified a rule which prevents you from using this specific tool call.")),
    ],
)
def test_a_denial_counts_once(name: str, line: dict[str, Any]) -> None:
    assert read(name, line, line).denials == 1


def test_a_tool_that_a_file_denies_something_is_not_denied() -> None:
    assert read("opencode", tool_use("permission denied: x")).denials == 0


def test_pi_may_tell_its_reasoning_tokens_as_a_part_of_the_output() -> None:
    usage = {"input": 9, "output": 5, "reasoning": 3}
    message = {"role": "assistant", "content": [{"type": "text", "text": "x"}], "usage": usage, "responseId": "r"}
    used = read("pi", {"type": "message_end", "message": message}).usage
    assert (used.output_tokens, used.reasoning_tokens) == (5, 3)
