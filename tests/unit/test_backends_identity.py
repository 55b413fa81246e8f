"""Which lines are one response, and which are another although a server gives both one id, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends import events as ev
from backends.registry import backend
from backends.session import Session, fold


def read(name: str, *lines: dict[str, Any]) -> Session:
    return fold(event for line in lines for event in backend(name).decode(json.dumps(line).encode()))


def said(id_: str | None, call: str | None = None, parent: str | None = None, **usage: int) -> dict[str, Any]:
    block = {"type": "tool_use", "id": call, "name": "Bash"} if call else {"type": "text", "text": "x"}
    message = {"model": "m", "content": [block], "usage": usage} | ({"id": id_} if id_ is not None else {})
    return {"type": "assistant", "message": message, "parent_tool_use_id": parent}


def answered(call: str) -> dict[str, Any]:
    return {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": call, "content": "ok"}]}}


@pytest.mark.parametrize("id_", ["msg_1", "", None])
class TestClaude:
    def test_blocks_are_one_response(self, id_: str | None) -> None:
        session = read("claude", said(id_, input_tokens=9), said(id_, "a", input_tokens=9), answered("a"))
        assert (session.turns, session.tool_calls, session.usage.input_tokens) == (1, 1, 9)

    @pytest.mark.parametrize("tokens", [0, 10])
    def test_after_a_tool_has_answered_another_response_begins(self, id_: str | None, tokens: int) -> None:
        again = said(id_, "a", input_tokens=tokens)
        session = read("claude", said(id_, "a", input_tokens=9), answered("a"), again, answered("a"))
        assert (session.turns, session.tool_calls, session.open_calls) == (2, 2, 0)
        assert session.usage.input_tokens == 9 + tokens

    def test_a_tool_may_answer_between_two_blocks_of_one_prompt(self, id_: str | None) -> None:
        session = read("claude", said(id_, "a", input_tokens=9), answered("a"), said(id_, "b", input_tokens=9))
        assert (session.turns, session.tool_calls, session.usage.input_tokens) == (1, 2, 9)

    def test_blocks_without_counts_are_one_response_if_it_has_an_id(self, id_: str | None) -> None:
        session = read("claude", said(id_, "a", input_tokens=0), answered("a"), said(id_, "b", input_tokens=0))
        assert (session.turns, session.tool_calls) == (1 if id_ else 2, 2)

    def test_a_call_still_runs_while_its_response_goes_on(self, id_: str | None) -> None:
        blocks = [said(id_, call, input_tokens=9) for call in "abc"]
        session = read("claude", *blocks[:2], answered("a"), blocks[2])
        assert (session.turns, session.tool_calls, session.calls_not_run) == (1, 3, 2)

    def test_a_subagent_has_responses_of_its_own(self, id_: str | None) -> None:
        session = read("claude", said(id_, "a", input_tokens=9), said(id_, parent="a", input_tokens=9), answered("a"))
        assert (session.turns, session.subagents, session.usage.input_tokens) == (2, 1, 18)


def step(id_: str, call: str | None, reason: str, cost: float = 0.0) -> list[dict[str, Any]]:
    state = {"status": "completed", "input": {}, "output": ""}
    tool = {"type": "tool_use", "part": {"messageID": id_, "callID": call, "tool": "bash", "state": state}}
    finish = {"messageID": id_, "reason": reason, "cost": cost, "tokens": {"input": 5}}
    return [
        {"type": "step_start", "part": {"messageID": id_}},
        *([tool] if call else []),
        {"type": "step_finish", "part": finish},
    ]


@pytest.mark.parametrize("id_", ["msg_1", ""])
def test_each_step_of_opencode_is_a_response(id_: str) -> None:
    lines = [*step(id_, "c", "tool-calls", 0.5), *step(id_, "c", "tool-calls", 0.5), *step(id_, None, "stop", 0.5)]
    session = read("opencode", *lines)
    assert (session.turns, session.tool_calls, session.tool_results) == (3, 2, 2)
    assert (session.usage.input_tokens, session.cost_usd, session.finished) == (15, 1.5, True)


def test_steps_of_opencode_without_id_and_beginning_are_responses_too() -> None:
    lines = [*step("", None, "tool-calls", 0.5)[1:], *step("", None, "stop", 0.25)[1:]]
    session = read("opencode", *lines)
    assert (session.turns, session.cost_usd) == (2, 0.75)


@pytest.mark.parametrize("id_", ["chatcmpl-5", None])
@pytest.mark.parametrize("time", [1, 0])
def test_each_message_of_pi_is_a_response(id_: str | None, time: int) -> None:
    def message(number: int, *content: dict[str, Any]) -> dict[str, Any]:
        said = {"role": "assistant", "content": content, "usage": {"input": 100}, "timestamp": number * time}
        return {"type": "message_end", "message": said | {"stopReason": "stop", "responseId": id_}}

    text = {"type": "text", "text": "x"}
    call = {"type": "toolCall", "id": "c", "name": "read"}
    done = {"type": "tool_execution_end", "toolCallId": "c"}
    session = read("pi", message(1, text), message(2, call), done, message(3, call), done, message(4, text))
    assert (session.turns, session.tool_calls, session.tool_results) == (4, 2, 2)
    assert session.usage.input_tokens == 400


def item(kind: str, type_: str, id_: str = "i", **fields: Any) -> dict[str, Any]:
    return {"type": f"item.{kind}", "item": {"id": id_, "type": type_} | fields}


CODEX_ITEMS = [
    ("command_execution", {"command": "ls"}, "exec_command"),
    ("file_change", {"changes": []}, "apply_patch"),
    ("mcp_tool_call", {"server": "lab", "tool": "plot"}, "mcp__lab.plot"),
    ("collab_tool_call", {"tool": "wait"}, "multi_agent_v1.wait"),
    ("web_search", {"query": "q"}, "web_search"),
]


@pytest.mark.parametrize(("type_", "fields", "tool"), CODEX_ITEMS)
class TestCodex:
    def test_an_item_that_only_completes_is_a_call(self, type_: str, fields: dict[str, Any], tool: str) -> None:
        session = read("codex", item("completed", type_, status="completed", **fields))
        assert (session.tool_calls, session.tool_results, session.tool_errors, session.last_tool) == (1, 1, 0, tool)
        assert (session.unknown_events, session.unpaired_results, session.open_calls) == (0, 0, 0)

    def test_an_item_that_starts_and_completes_is_one_call(self, type_: str, fields: dict[str, Any], tool: str) -> None:
        done = item("completed", type_, status="failed", **fields)
        session = read("codex", item("started", type_, **fields), done, done)
        assert (session.tool_calls, session.tool_results, session.tool_errors, session.last_tool) == (1, 1, 1, tool)
        assert session.unpaired_results == 1

    def test_an_id_that_is_used_again_is_another_call(self, type_: str, fields: dict[str, Any], tool: str) -> None:
        lines = [item("started", type_, **fields), item("completed", type_, status="completed", **fields)]
        session = read("codex", *lines, *lines)
        assert (session.tool_calls, session.tool_results, session.last_tool) == (2, 2, tool)


def test_an_item_that_only_completes_under_the_id_of_another_is_a_call() -> None:
    change = item("completed", "file_change", status="completed", changes=[])
    search = item("completed", "web_search", query="q")
    session = read("codex", change, search, change)
    assert (session.tool_calls, session.tool_results, session.unpaired_results) == (3, 3, 0)


def test_a_thread_that_goes_on_counts_its_items_from_0_again() -> None:
    thread, change = {"type": "thread.started", "thread_id": "t"}, item("completed", "file_change", status="failed")
    session = read("codex", thread, change, thread, change)
    assert (session.tool_calls, session.tool_errors, session.unpaired_results) == (2, 2, 0)


def shell(id_: str, command: str, turn: str = "m") -> dict[str, Any]:
    block = {"type": "tool_use", "id": id_, "name": "Bash", "input": {"command": command}}
    return {"type": "assistant", "message": {"id": turn, "model": "m", "content": [block]}}


def test_two_calls_of_one_response_may_share_an_id() -> None:
    lines = [shell("call_0", "ls"), shell("call_0", "pwd"), shell("call_0", "ls")]
    session = read("claude", *lines, answered("call_0"), answered("call_0"))
    assert (session.turns, session.tool_calls, session.tool_results, session.unpaired_results) == (1, 3, 2, 0)
    assert session.open_calls == 1


def test_a_call_without_a_result_gives_its_id_to_a_later_response() -> None:
    lines = [shell("call_0", "ls", "m"), shell("call_0", "ls", "n"), answered("call_0")]
    session = read("claude", *lines)
    assert (session.tool_calls, session.tool_results, session.open_calls) == (2, 1, 0)


def test_a_web_search_that_is_cut_off_is_open() -> None:
    assert read("codex", item("started", "web_search", query="q")).open_calls == 1


def test_an_mcp_error_is_one_without_a_status_too() -> None:
    failed = item("completed", "mcp_tool_call", server="lab", tool="plot", error={"message": "no"})
    assert read("codex", failed).tool_errors == 1


def test_many_responses_of_one_id_all_count() -> None:
    session = Session()
    for number in range(2000):
        session.add(ev.TurnStarted(turn="a", whole=True))
        session.add(ev.ToolCall(turn="a", call_id=f"c{number}", name="x"))
        session.add(ev.TurnFinished(turn="a"))
        session.add(ev.ToolResult(call_id=f"c{number}"))
    assert (session.turns, session.tool_calls, session.tool_results) == (2000, 2000, 2000)
