"""The parts of the translation that need no extra: plain data in, plain data out, and what is metered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gateway.messages import Reply, ReplyToolCall, TokenCounts
from harness.gateway.provider import Answer, Call
from harness.gateway.translation import google_chat
from harness.gateway.translation.chat import NO_DOCUMENT, PICTURES, Chat, plain, with_objects
from harness.gateway.translation.losses import losses
from harness.gateway.translation.memory import Memory, Signed
from harness.gateway.translation.ordering import InOrder
from harness.gateway.upstream_reader import UpstreamReader
from harness.gateway.wires import openai_chat, openai_responses
from tests.support.gateway_client import MESSAGES
from tests.support.scripted_gateway import scripted_gateway

URL = "data:image/png;base64,AAAA"


def call(key: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": key, "type": "function", "function": {"name": "bash", "arguments": arguments}, "index": 0}


# Chat Completions


def test_pictures_of_tool_results_follow_after_all_results() -> None:
    picture = {"type": "image_url", "image_url": {"url": URL, "detail": "auto"}}
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": None, "tool_calls": [call("a"), call("b")], "thinking_blocks": [{}]},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "here"}, picture]},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "file", "file": {}}]},
    ]
    system, user, said, one, other, shown = plain(messages)
    assert (system["role"], user["content"]) == ("system", "Go.")
    assert said.keys() == {"role", "content", "tool_calls"}
    assert said["tool_calls"][0].keys() == {"id", "type", "function"}
    assert (one["content"], other["content"]) == ("here", NO_DOCUMENT)
    assert [part.get("text") or part["image_url"] for part in shown["content"]] == [PICTURES, {"url": URL}]


def test_messages_of_the_user_that_follow_one_another_become_one() -> None:
    found = plain([{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}])
    assert [part["text"] for one in found for part in one["content"]] == ["a", "b"]


@given(st.text() | st.dictionaries(st.text(), st.integers()).map(json.dumps))
def test_arguments_become_an_object_whatever_a_model_wrote(written: str) -> None:
    [message] = with_objects([{"role": "assistant", "tool_calls": [call("a", written)]}])
    arguments = json.loads(message["tool_calls"][0]["function"]["arguments"] or "{}")
    assert isinstance(arguments, dict)
    if arguments.keys() == {"malformed"}:
        assert arguments["malformed"] == written


# Google


def test_calls_of_one_tool_keep_their_own_results_even_without_ids() -> None:
    calls = [{"functionCall": {"name": "bash", "args": {"command": letter}}} for letter in "ab"]
    results = [{"functionResponse": {"name": "bash", "response": {"output": letter}}} for letter in "ab"]
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "Go."}]},
            {"role": "model", "parts": [{"text": "secret", "thought": True}, {"text": "I look."}, *calls]},
            {"role": "user", "parts": results},
        ]
    }
    user, said, one, other = google_chat.messages(body)
    assert (user["content"][0]["text"], said["content"]) == ("Go.", "I look.")
    ids = [made["id"] for made in said["tool_calls"]]
    assert len(set(ids)) == 2
    assert [(one["tool_call_id"], one["content"][0]["text"]) for one in (one, other)] == list(
        zip(ids, "ab", strict=True)
    )


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [({"thinkingLevel": "HIGH"}, "high"), ({"thinkingBudget": 500}, "low"), ({"thinkingBudget": 0}, None), ({}, None)],
)
def test_thinking_becomes_an_effort(thinking: dict[str, Any], effort: str | None) -> None:
    params = google_chat.params({"generationConfig": {"thinkingConfig": thinking, "maxOutputTokens": 9}})
    assert (params.get("reasoning_effort"), params["max_tokens"]) == (effort, 9)


# The order of a Responses stream


@given(st.data())
def test_events_of_an_item_wait_for_the_end_of_the_item_before(data: st.DataObject) -> None:
    rows = {
        at: [{"type": kind, "output_index": at} for kind in ("added", "delta", "response.output_item.done")]
        for at in range(data.draw(st.integers(1, 4)))
    }
    turns = data.draw(st.permutations([at for at, row in rows.items() for _ in row]))
    events: list[dict[str, Any]] = [
        {"type": "response.created"},
        *(rows[at].pop(0) for at in turns),
        {"type": "response.completed"},
    ]
    in_order = InOrder()
    sent = [one for event in events for one in in_order.add(event)]
    items = [one["output_index"] for one in sent if "output_index" in one]
    assert items == sorted(items)
    assert (sent[0]["type"], sent[-1]["type"]) == ("response.created", "response.completed")
    assert [one["sequence_number"] for one in sent] == list(range(len(events)))


# What is signed


def test_what_a_provider_signed_is_recalled_by_the_ids_of_its_calls() -> None:
    memory = Memory()
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    memory.keep(Signed((thought,), {"a": "t"}), ["a", "b"])
    known, unknown = memory.recall([{"tool_calls": [call("a"), call("b")]}, {"tool_calls": [call("c")]}])
    assert known["thinking_blocks"] == [thought]
    assert [one.get("provider_specific_fields") for one in known["tool_calls"]] == [{"thought_signature": "t"}, None]
    assert unknown == {"tool_calls": [call("c")]}


def test_only_so_much_is_kept() -> None:
    memory = Memory()
    memory.keep(Signed(({"thinking": "x" * 9_000_000},), {}), ["a"])
    assert memory.recall([{"tool_calls": [call("a")]}]) == [{"tool_calls": [call("a")]}]


def test_a_key_of_a_tools_own_arguments_is_not_taken_for_a_loss() -> None:
    block = {"type": "tool_use", "input": {"cache_control": "x", "verbosity": "y"}}
    body = {"messages": [{"content": [block]}], "tools": [{"input_schema": {"verbosity": 1}}]}
    assert losses(body, Chat([], {}), {}, "openai_chat") == set()
    block["cache_control"] = {"type": "ephemeral"}
    assert losses(body, Chat([], {}), {}, "openai_chat") == {"marks for the prompt cache (cache_control)"}
    assert losses(body, Chat([], {}), {}, "anthropic_messages") == set()


# What is metered


class Translating:
    """A provider whose client gets other bytes than it sent itself."""

    def __init__(self, said: str) -> None:
        self._said = said

    async def answer(self, call: Call) -> Answer:
        metered = UpstreamReader(openai_chat)
        return Answer(
            status=200, headers={"content-type": "text/event-stream"}, chunks=self._chunks(metered), metered=metered
        )

    async def count_tokens(self, call: Call) -> int:
        raise NotImplementedError

    async def _chunks(self, metered: UpstreamReader) -> AsyncIterator[bytes]:
        reply = Reply(
            id="m",
            created=1,
            model="demo",
            text="hello",
            calls=(ReplyToolCall("a", "bash", {}),),
            usage=TokenCounts(input_tokens=70, output_tokens=8),
        )
        for event in openai_chat.events(reply, openai_responses.parse(b'{"model": "demo", "input": "x"}')):
            metered.read(event)
        assert len(metered.take()) > 2
        assert metered.take() == []
        yield self._said.encode()


@pytest.mark.parametrize("stream", [True, False])
def test_limits_and_ledger_count_what_the_provider_itself_said(tmp_path: Path, *, stream: bool) -> None:
    with scripted_gateway(tmp_path) as open_session:
        session = open_session(provider=Translating("data: {}\n\n"))
        response = session.ask(MESSAGES, stream=stream)
        assert response.text == "data: {}\n\n"
        metered = session.account.metered()
        assert (metered.turns, metered.input_tokens, metered.output_tokens) == (1, 70, 8)
        [line] = session.ledger()
        assert (line["wire"], line["tools_called"], line["stop_reason"]) == (
            "anthropic_messages",
            ["bash"],
            "tool_calls",
        )
