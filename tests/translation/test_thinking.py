"""Thoughts come back as thoughts. Where a provider signs them, it gets them back with their signatures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.translation.conftest import Canned, Opened, Pair
from tests.translation.conversations import Talk, written

pytestmark = pytest.mark.translate

NEW = Talk("You are an agent.", "Solve the maze.")


def _events(*events: dict[str, Any]) -> list[str]:
    return [f"event: {event.get('type')}\ndata: {json.dumps(event)}\n\n" for event in events]


_TOOL = {"type": "tool_use", "id": "call_abc", "name": "bash", "input": {}}
ANTHROPIC = _events(
    {"type": "message_start", "message": {"id": "m", "role": "assistant", "content": [], "usage": {"input_tokens": 5}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Left or "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "right?"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2lnbmVk"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": _TOOL},
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "input_json_delta", "partial_json": '{"command": "ls"}'},
    },
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
)

_SUMMARY = [{"type": "summary_text", "text": "Left or right?"}]
_REASONING = {"type": "reasoning", "id": "rs_1", "summary": _SUMMARY, "encrypted_content": "ZW5jcnlwdGVk"}
_CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_abc", "name": "bash", "arguments": '{"command": "ls"}'}
RESPONSES = _events(
    {"type": "response.created", "response": {"id": "resp_1", "output": [], "status": "in_progress"}},
    {"type": "response.output_item.added", "output_index": 0, "item": {**_REASONING, "summary": []}},
    {
        "type": "response.reasoning_summary_text.delta",
        "item_id": "rs_1",
        "output_index": 0,
        "summary_index": 0,
        "delta": "Left or right?",
    },
    {"type": "response.output_item.done", "output_index": 0, "item": _REASONING},
    {"type": "response.output_item.added", "output_index": 1, "item": {**_CALL, "arguments": ""}},
    {
        "type": "response.function_call_arguments.delta",
        "item_id": "fc_1",
        "output_index": 1,
        "delta": '{"command": "ls"}',
    },
    {"type": "response.output_item.done", "output_index": 1, "item": _CALL},
    {
        "type": "response.completed",
        "response": {
            "id": "resp_1",
            "status": "completed",
            "output": [_REASONING, _CALL],
            "usage": {"input_tokens": 5, "output_tokens": 7},
        },
    },
)

GOOGLE = _events(
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "Left or right?", "thought": True}]}}]},
    {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {
                            "functionCall": {"id": "call_abc", "name": "bash", "args": {"command": "ls"}},
                            "thoughtSignature": "c2lnbmVk",
                        }
                    ],
                },
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 4},
    },
)

CHAT = [
    f"data: {json.dumps(event)}\n\n"
    for event in (
        {"choices": [{"index": 0, "delta": {"role": "assistant", "reasoning_content": "Left or right?"}}]},
        {"choices": [{"index": 0, "delta": {"content": "Left."}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}},
    )
] + ["data: [DONE]\n\n"]

ANSWERS = {
    "anthropic_messages": ANTHROPIC,
    "openai_responses": RESPONSES,
    "google_generate": GOOGLE,
    "openai_chat": CHAT,
}


def _data(response: Any) -> list[Any]:
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]


def _blocks(response: Any) -> list[dict[str, Any]]:
    """Return the content of an answer on Anthropic's wire, as a client puts it together."""
    blocks: list[dict[str, Any]] = []
    for one in _data(response):
        if one["type"] == "content_block_start":
            blocks.append(dict(one["content_block"]))
        elif one["type"] == "content_block_delta":
            delta, block = one["delta"], blocks[one["index"]]
            for key in ("text", "thinking", "signature"):
                if key in delta:
                    block[key] = block.get(key, "") + delta[key]
            if "partial_json" in delta:
                block["input"] = json.loads(delta["partial_json"])
    return blocks


def _again(pair: Pair, blocks: list[dict[str, Any]]) -> None:
    """Ask again on Anthropic's wire, after the call in these blocks was answered."""
    body = written("anthropic_messages", NEW)
    [call] = [block for block in blocks if block["type"] == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "approach.py"}
    body["messages"] += [{"role": "assistant", "content": blocks}, {"role": "user", "content": [result]}]
    assert pair.post(body).status_code == 200


@pytest.mark.parametrize("spoken", ["openai_responses", "google_generate", "openai_chat"])
def test_thoughts_are_thoughts_for_a_client_of_anthropics_wire(opened: Opened, spoken: str) -> None:
    pair = opened("anthropic_messages", spoken, model=Canned(*ANSWERS[spoken]))
    thinking = [block for block in _blocks(pair.post(written(pair.wire, NEW))) if block["type"] == "thinking"]
    assert [block["thinking"] for block in thinking] == ["Left or right?"]


@pytest.mark.parametrize("spoken", ["anthropic_messages", "google_generate", "openai_chat"])
def test_thoughts_are_reasoning_for_a_client_of_responses(opened: Opened, spoken: str) -> None:
    pair = opened("openai_responses", spoken, model=Canned(*ANSWERS[spoken]))
    events = _data(pair.post(written(pair.wire, NEW)))
    done = [one["item"] for one in events if one["type"] == "response.output_item.done"]
    assert done[0]["type"] == "reasoning"
    assert "Left or right?" in json.dumps(done[0])
    assert events[-1]["type"] == "response.completed"


@pytest.mark.parametrize("spoken", ["anthropic_messages", "openai_responses", "openai_chat"])
def test_thoughts_are_thoughts_for_a_client_of_googles_wire(opened: Opened, spoken: str) -> None:
    pair = opened("google_generate", spoken, model=Canned(*ANSWERS[spoken]))
    events = _data(pair.post(written(pair.wire, NEW)))
    parts = [part for one in events for part in one["candidates"][0]["content"]["parts"]]
    assert "".join(part["text"] for part in parts if part.get("thought")) == "Left or right?"


def test_encrypted_reasoning_comes_back_to_openai(opened: Opened) -> None:
    pair = opened("anthropic_messages", "openai_responses", model=Canned(*RESPONSES))
    _again(pair, _blocks(pair.post(written(pair.wire, NEW))))
    [reasoning] = [item for item in pair.sent["input"] if item["type"] == "reasoning"]
    assert reasoning["encrypted_content"] == "ZW5jcnlwdGVk"
    assert (pair.sent["store"], pair.sent["include"]) == (False, ["reasoning.encrypted_content"])


def test_signed_thoughts_come_back_to_anthropic(opened: Opened) -> None:
    pair = opened("openai_responses", "anthropic_messages", model=Canned(*ANTHROPIC))
    body = written(pair.wire, NEW)
    events = _data(pair.post(body))
    items = [one["item"] for one in events if one["type"] == "response.output_item.done"]
    output = {"type": "function_call_output", "call_id": "call_abc", "output": "approach.py"}
    assert pair.post({**body, "input": [*body["input"], *items, output]}).status_code == 200
    blocks = [block for one in pair.sent["messages"] if one["role"] == "assistant" for block in one["content"]]
    [thinking] = [block for block in blocks if block["type"] == "thinking"]
    assert (thinking["thinking"], thinking["signature"]) == ("Left or right?", "c2lnbmVk")


def test_the_signature_of_a_call_comes_back_to_google(opened: Opened) -> None:
    pair = opened("anthropic_messages", "google_generate", model=Canned(*GOOGLE))
    _again(pair, _blocks(pair.post(written(pair.wire, NEW))))
    parts = [part for one in pair.sent["contents"] for part in one["parts"]]
    [call] = [part for part in parts if "functionCall" in part]
    assert call["thoughtSignature"] == "c2lnbmVk"
    [answered] = [part["functionResponse"] for part in parts if "functionResponse" in part]
    assert answered["id"] == call["functionCall"]["id"]


@pytest.mark.parametrize("wire", ["openai_responses", "openai_chat", "google_generate"])
def test_an_error_in_the_middle_of_an_answer_reaches_the_client(opened: Opened, wire: str) -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "too much to do"}}
    pair = opened(wire, "anthropic_messages", model=Canned(*ANTHROPIC[:4], *_events(overloaded)))
    response = pair.post(written(wire, NEW))
    assert "too much to do" in (pair.outcome(response).error or "")
    [line] = pair.session.ledger()
    assert line["error"] == "overloaded_error: too much to do"
    assert pair.session.account.metered().turns == 0


def test_what_a_request_loses_is_named(opened: Opened) -> None:
    pair = opened("anthropic_messages", "openai_chat")
    body = written(pair.wire, NEW)
    body["system"][0]["cache_control"] = {"type": "ephemeral"}
    body["thinking"] = {"type": "enabled", "budget_tokens": 2000}
    body["context_management"] = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    assert pair.post(body).status_code == 200
    assert {name.partition(" ")[0] for name in pair.lost} == {"marks", "the"}
    assert any("cache_control" in name for name in pair.lost)
    assert any("context_management" in name for name in pair.lost)
    assert any("effort of thinking" in name for name in pair.lost)
    assert pair.asked == 1, "litellm itself would ask the model to forget"
