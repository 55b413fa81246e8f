"""The meter reads what servers really send, which is not always what the documentation of the wire says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.case import Price
from harness.gateway.leaks import MARKS, leaks
from harness.gateway.messages import AnswerOutcome, TokenCounts
from harness.gateway.prices import ListedPrice
from harness.gateway.wires import anthropic_messages, google_generate, openai_chat, openai_responses
from harness.gateway.wires.base import Wire
from harness.gateway.wires.reader import Reader

CHAT, ANTHROPIC, RESPONSES, GOOGLE = openai_chat, anthropic_messages, openai_responses, google_generate


def stream(*events: Any) -> bytes:
    """Return server-sent events. A text stands for itself."""
    return b"".join(
        b"data: " + (event if isinstance(event, str) else json.dumps(event)).encode() + b"\n\n" for event in events
    )


def read(wire: Wire, *events: Any) -> AnswerOutcome:
    reader = Reader(wire, streamed=True)
    reader.feed(stream(*events))
    reader.finish()
    return reader.outcome


def whole(wire: Wire, body: Any) -> AnswerOutcome:
    reader = Reader(wire, streamed=False)
    reader.feed(json.dumps(body).encode())
    reader.finish()
    return reader.outcome


def delta(index: int | None = 0, **parts: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": parts}]}


def called(index: int | None, name: str | None, arguments: str = "") -> dict[str, Any]:
    number = {} if index is None else {"index": index}
    return delta(tool_calls=[{**number, "function": {"name": name, "arguments": arguments}}])


STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}
USED = TokenCounts(input_tokens=9, output_tokens=4)


@pytest.mark.parametrize(
    "events",
    [
        [{"choices": None}, STOP, USAGE, "[DONE]"],
        ["null", "", STOP, {"choices": None, "usage": USAGE["usage"]}, "[DONE]"],
        [STOP, USAGE],
        [STOP, USAGE, {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}, "[DONE]"],
        [STOP, USAGE, {"choices": [], "usage": {"prompt_tokens": None, "completion_tokens": None}}, "[DONE]"],
        [STOP, {"choices": [], "usage": {"prompt_tokens": 9.0, "completion_tokens": 4, "prompt_tokens_details": None}}],
        [{**STOP, "usage": None, "error": None}, USAGE],
        [delta(content=None, tool_calls=None), delta(tool_calls=[None]), STOP, USAGE],
        [delta(content=[{"type": "text", "text": "a list"}]), STOP, USAGE],
    ],
    ids=["null choices", "null chunks", "no [DONE]", "zeros", "nulls", "floats", "null usage", "null parts", "blocks"],
)
def test_a_chat_stream_is_read_as_servers_send_it(events: list[Any]) -> None:
    assert read(CHAT, *events) == AnswerOutcome(usage=USED, stop_reason="stop", complete=True)


@pytest.mark.parametrize(
    ("events", "names"),
    [
        ([called(0, "bash", "{"), called(0, "bash", "}"), called(0, "bash")], ("bash",)),
        ([called(0, "bash"), called(0, ""), called(0, None), called(1, "bash")], ("bash", "bash")),
        ([called(1, "read"), called(0, "bash"), called(1, "read")], ("read", "bash")),
        ([called(None, "bash"), called(None, "bash")], ("bash", "bash")),
    ],
    ids=["a name in each delta", "two calls of one tool", "in turns", "without an index"],
)
def test_calls_are_told_apart_by_their_index(events: list[Any], names: tuple[str, ...]) -> None:
    assert read(CHAT, *events, STOP, "[DONE]").tools_called == names


def test_each_choice_numbers_its_own_calls() -> None:
    first, second = called(0, "bash"), called(0, "bash")
    second["choices"][0]["index"] = 1
    assert read(CHAT, first, second, first, STOP).tools_called == ("bash", "bash")


START = {"type": "message_start", "message": {"usage": {"input_tokens": 9, "cache_read_input_tokens": 5}}}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}


@pytest.mark.parametrize(
    "events",
    [
        [START, DELTA],
        [START, {**DELTA, "usage": {"input_tokens": 0, "output_tokens": 4, "cache_read_input_tokens": 0}}],
        [START, {**DELTA, "usage": {"input_tokens": None, "output_tokens": 4}}, {"type": "message_stop"}],
        [START, DELTA, {"type": "message_delta", "delta": None, "usage": None}, {"type": "message_stop"}],
        [START, {"type": "content_block_start", "content_block": None}, DELTA, {"type": "message_stop"}],
    ],
    ids=["no message_stop", "zeros", "nulls", "null delta", "null block"],
)
def test_an_anthropic_stream_is_read_as_servers_send_it(events: list[Any]) -> None:
    used = TokenCounts(input_tokens=9, output_tokens=4, cache_read_tokens=5)
    assert read(ANTHROPIC, *events) == AnswerOutcome(usage=used, stop_reason="end_turn", complete=True)


def ended(**fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 9, "output_tokens": 4, "input_tokens_details": None}
    response = {"status": "completed", "usage": usage, **fields}
    return {"type": "response.completed", "response": response, "message": None}


@pytest.mark.parametrize(
    "event",
    [ended(output=None), ended(error=None, incomplete_details=None), ended(output=[{"type": "message"}])],
    ids=["null output", "null details", "no content"],
)
def test_a_responses_stream_is_read_as_servers_send_it(event: Any) -> None:
    assert read(RESPONSES, event) == AnswerOutcome(usage=USED, stop_reason="completed", complete=True)


def test_calls_that_only_the_whole_response_holds_count() -> None:
    outcome = read(RESPONSES, ended(output=[{"type": "function_call", "name": "bash"}]))
    assert outcome.tools_called == ("bash",)


@pytest.mark.parametrize(
    "events",
    [
        [{"candidates": None}, {"candidates": [{"content": {"parts": None}}]}],
        [{"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4}}, {"usageMetadata": None}],
        [{"candidates": [{"content": {}}], "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 0}}],
    ],
    ids=["null parts", "null usage", "a 0 that is not the last"],
)
def test_a_google_stream_is_read_as_servers_send_it(events: list[Any]) -> None:
    last = {
        "candidates": [{"finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 0, "candidatesTokenCount": 4},
    }
    first = {"usageMetadata": {"promptTokenCount": 9}}
    assert read(GOOGLE, first, *events, last) == AnswerOutcome(usage=USED, stop_reason="STOP", complete=True)


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (CHAT, {"choices": [{"message": {"content": None}, "finish_reason": "stop"}], "usage": None}),
        (ANTHROPIC, {"content": None, "usage": None, "stop_reason": "stop"}),
        (RESPONSES, {"status": "completed", "output": None, "usage": None, "error": None}),
        (GOOGLE, {"candidates": [{"content": None, "finishReason": "stop"}], "usageMetadata": None}),
    ],
    ids=lambda value: getattr(value, "NAME", ""),
)
def test_a_whole_answer_may_hold_nulls(wire: Wire, body: Any) -> None:
    outcome = whole(wire, body)
    assert (outcome.usage, outcome.complete, outcome.error) == (None, True, None)


def test_tokens_that_the_cache_keeps_for_an_hour_have_their_own_price() -> None:
    creation = {"ephemeral_5m_input_tokens": 1_000_000, "ephemeral_1h_input_tokens": 3_000_000}
    usage = {"input_tokens": 1, "cache_creation_input_tokens": 4_000_000, "cache_creation": creation}
    outcome = read(ANTHROPIC, {"type": "message_start", "message": {"usage": usage}}, DELTA, {"type": "message_stop"})
    assert outcome.usage is not None
    counts = {"input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 4_000_000}
    assert outcome.usage.cache_write_1h_tokens == 3_000_000
    own = Price(input=1, output=5, cache_write=1.25, cache_write_1h=2)
    assert own.cost_usd(**counts, cache_write_1h_tokens=3_000_000) == 7.25
    assert Price(input=1, output=5, cache_write=1.25).cost_usd(**counts, cache_write_1h_tokens=3_000_000) == 5
    listed = ListedPrice("anthropic", "claude-sonnet-4-5")
    short, long = listed.cost_usd(**counts), listed.cost_usd(**counts, cache_write_1h_tokens=4_000_000)
    assert long == pytest.approx(1.6 * short), "1.25 and 2 times the price of input"


def texts(wire: Wire, pieces: list[str], reason: str | None = None) -> list[Any]:
    """Return the events of an answer that says these pieces and stops."""
    if wire is CHAT:
        end = {"choices": [{"delta": {}, "finish_reason": reason or "stop"}]}
        return [*(delta(content=piece) for piece in pieces), end]
    if wire is ANTHROPIC:
        said = [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": piece}} for piece in pieces]
        return [*said, {"type": "message_delta", "delta": {"stop_reason": reason or "end_turn"}}]
    if wire is RESPONSES:
        cut = {"status": "incomplete", "incomplete_details": {"reason": reason}} if reason else {}
        return [*({"type": "response.output_text.delta", "delta": piece} for piece in pieces), ended(**cut)]
    parts = ({"candidates": [{"content": {"parts": [{"text": piece}]}}]} for piece in pieces)
    return [*parts, {"candidates": [{"finishReason": reason or "STOP"}]}]


@pytest.mark.parametrize("wire", [CHAT, ANTHROPIC, RESPONSES, GOOGLE], ids=lambda wire: wire.NAME)
def test_a_tool_call_in_the_text_of_an_answer_is_noticed(wire: Wire) -> None:
    for mark in MARKS:
        for pieces in (
            [f"I look.\n{mark}"],
            ["I look.", *mark],
            [mark[:3], mark[3:] + '{"name": "bash"}', "more" * 99],
        ):
            assert leaks(read(wire, *texts(wire, pieces))), pieces
    assert not leaks(read(wire, *texts(wire, ["I call no tool. <tool", " _call> [TOOL CALLS]"])))
    assert not leaks(read(wire, *texts(wire, ["<tool_call>"], reason="length"))), "it was cut, not misread"


def test_a_mark_beside_a_real_call_is_no_leak() -> None:
    assert not leaks(read(CHAT, delta(content="<tool_call>"), called(0, "bash"), STOP))


def test_a_whole_answer_with_a_tool_call_as_text_is_noticed() -> None:
    message = {"content": "<function=bash>", "tool_calls": None}
    assert leaks(whole(CHAT, {"choices": [{"message": message, "finish_reason": "stop"}]}))
    content = [{"type": "text", "text": "<function=bash>"}]
    assert leaks(whole(ANTHROPIC, {"content": content, "stop_reason": "end_turn"}))
    assert leaks(whole(RESPONSES, {"status": "completed", "output": [{"type": "message", "content": content}]}))
    candidate = {"content": {"parts": [{"text": "<function=bash>"}]}, "finishReason": "STOP"}
    assert leaks(whole(GOOGLE, {"candidates": [candidate]}))
