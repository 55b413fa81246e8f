"""The wires render what their services send, and read back what they rendered."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gateway.messages import AnswerOutcome, ModelRequest, Reply, ReplyToolCall, TokenCounts, WireError
from harness.gateway.wires import anthropic_messages, google_generate, openai_chat, openai_responses
from harness.gateway.wires.base import Wire
from harness.gateway.wires.reader import Reader

ANTHROPIC: Wire = anthropic_messages
OPENAI: Wire = openai_chat
RESPONSES: Wire = openai_responses
GOOGLE: Wire = google_generate
OPENROUTER = (ANTHROPIC, OPENAI, RESPONSES)
WIRES = pytest.mark.parametrize("wire", [ANTHROPIC, OPENAI, RESPONSES, GOOGLE], ids=lambda wire: wire.NAME)
PATH = "/v1beta/models/m:generateContent"
"""The path of a request, which one wire needs because its model is in the path."""
STOPS = {
    ANTHROPIC.NAME: ("tool_use", "end_turn", "max_tokens"),
    OPENAI.NAME: ("tool_calls", "stop", "length"),
    RESPONSES.NAME: ("completed", "completed", "max_output_tokens"),
    GOOGLE.NAME: ("STOP", "STOP", "MAX_TOKENS"),
}
"""Each wire's words for three ends of a reply: it calls tools, it does not, and its output limit cut it."""
FEW = settings(max_examples=40)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
counts = st.integers(0, 10**9)
usages = st.builds(
    TokenCounts,
    input_tokens=counts,
    output_tokens=st.integers(1, 10**9),
    cache_read_tokens=counts,
    cache_write_tokens=counts,
)
calls = st.builds(
    ReplyToolCall, st.uuids().map(str), st.text(min_size=1), st.dictionaries(st.text(), json_values, max_size=2)
)
replies = st.builds(
    Reply,
    id=st.uuids().map(str),
    created=counts,
    model=st.text(min_size=1),
    text=st.text(max_size=300),
    calls=st.lists(calls, max_size=3).map(tuple),
    usage=usages,
    truncated=st.booleans(),
)
REQUEST = ModelRequest(model="m", stream=True)


def data_lines(stream: bytes) -> list[str]:
    """Return the data of each event, read strictly: lines end in LF, and fields in a colon and a space.

    Google ends its lines in CR LF.
    """
    events = stream.decode("ascii").replace("\r\n", "\n").split("\n\n")
    assert events.pop() == ""
    return [line.removeprefix("data: ") for event in events for line in event.split("\n") if line.startswith("data: ")]


def read(wire: Wire, body: bytes, *, streamed: bool, cut: bool = False) -> AnswerOutcome:
    reader = Reader(wire, streamed=streamed)
    reader.feed(body)
    reader.finish(cut=cut)
    return reader.outcome


def on_the_wire(wire: Wire, usage: TokenCounts) -> TokenCounts:
    """Return the part of a usage that a wire can report: Google reports no tokens written to the cache."""
    if wire is not GOOGLE:
        return usage
    prompt = usage.input_tokens + usage.cache_write_tokens
    return msgspec.structs.replace(usage, input_tokens=prompt, cache_write_tokens=0)


@WIRES
@FEW
@given(reply=replies)
def test_the_reader_reads_a_rendered_reply_the_same_streamed_or_whole(wire: Wire, reply: Reply) -> None:
    whole = read(wire, json.dumps(wire.render(reply)).encode(), streamed=False)
    streamed = read(wire, b"".join(wire.events(reply, REQUEST)), streamed=True)
    names = tuple(call.name for call in reply.calls)
    reason = STOPS[wire.NAME][2 if reply.truncated else 0 if reply.calls else 1]
    assert whole == AnswerOutcome(
        usage=on_the_wire(wire, reply.usage), tools_called=names, stop_reason=reason, complete=True
    )
    assert streamed == whole


@WIRES
@FEW
@given(reply=replies, data=st.data())
def test_the_reader_accepts_chunks_that_end_anywhere(wire: Wire, reply: Reply, data: st.DataObject) -> None:
    stream = b"".join(wire.events(reply, REQUEST))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = Reader(wire, streamed=True)
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.feed(stream[start:end])
    assert reader.outcome == read(wire, stream, streamed=True)


@WIRES
@FEW
@given(reply=replies, data=st.data())
def test_a_stream_cut_anywhere_is_incomplete_and_says_so(wire: Wire, reply: Reply, data: st.DataObject) -> None:
    stream = b"".join(wire.events(reply, REQUEST))
    outcome = read(wire, stream[: data.draw(st.integers(0, len(stream) - 1))], streamed=True, cut=True)
    assert not outcome.complete
    assert outcome.error


@WIRES
@FEW
@given(noise=st.binary() | json_values.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"))
def test_no_answer_makes_the_reader_raise(wire: Wire, noise: bytes) -> None:
    assert read(wire, noise, streamed=True).error
    read(wire, noise, streamed=False)


@WIRES
@FEW
@given(body=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_request_or_a_clear_error(wire: Wire, body: bytes) -> None:
    with suppress(WireError):
        assert wire.parse(body, PATH).turn >= 0


@pytest.mark.parametrize(
    ("wire", "end"),
    [
        (ANTHROPIC, b'data: {"type": "message_stop"}\n\n'),
        (OPENAI, b"data: [DONE]\n\n"),
        (RESPONSES, b'data: {"type": "response.completed"}\n\n'),
        (GOOGLE, b'data: {"candidates": []}\r\n\r\n'),
    ],
)
def test_an_end_without_an_answer_is_not_an_answer(wire: Wire, end: bytes) -> None:
    outcome = read(wire, end, streamed=True)
    assert not outcome.complete
    assert outcome.error


@WIRES
def test_a_wrong_field_is_named(wire: Wire) -> None:
    body = b'{"model": 5, "messages": [], "input": [], "tools": [{"functionDeclarations": [{"name": 5}]}]}'
    with pytest.raises(WireError, match=r"Expected `str.*`, got `int`.*\$.*\.(model|name)"):
        wire.parse(body, PATH)


def anthropic_client(stream: bytes) -> dict[str, Any]:
    """Build the message as a client does. Insist on the documented order of events."""
    events = [json.loads(data) for data in data_lines(stream)]
    order: Iterator[dict[str, Any]] = iter(event for event in events if event["type"] != "ping")
    start = next(order)
    assert start["type"] == "message_start"
    message: dict[str, Any] = start["message"]
    assert (message["content"], message["stop_reason"]) == ([], None)
    for event in order:
        if event["type"] == "content_block_start":
            assert event["index"] == len(message["content"])
            block, pieces = event["content_block"], []
            while (event := next(order))["type"] == "content_block_delta":
                pieces.append(event["delta"]["text" if block["type"] == "text" else "partial_json"])
            assert event["type"] == "content_block_stop"
            if block["type"] == "text":
                block["text"] += "".join(pieces)
            else:
                block["input"] = json.loads("".join(pieces))
            message["content"].append(block)
        elif event["type"] == "message_delta":
            message |= event["delta"]
            message["usage"] |= event["usage"]
        else:
            assert event["type"] == "message_stop"
            assert next(order, None) is None
    return message


@FEW
@given(reply=replies)
def test_an_anthropic_stream_adds_up_to_the_whole_message(reply: Reply) -> None:
    assert anthropic_client(b"".join(ANTHROPIC.events(reply, REQUEST))) == ANTHROPIC.render(reply)


@FEW
@given(reply=replies)
def test_each_anthropic_event_carries_its_type_as_its_name(reply: Reply) -> None:
    for event in ANTHROPIC.events(reply, REQUEST):
        name, data, *end = event.decode("ascii").split("\n")
        assert name == f"event: {json.loads(data.removeprefix('data: '))['type']}"
        assert end == ["", ""]


def openai_client(stream: bytes) -> dict[str, Any]:
    """Build the completion as a client does."""
    *chunks, done = data_lines(stream)
    assert done == "[DONE]"
    message: dict[str, Any] = {"role": None, "content": None, "refusal": None}
    completion: dict[str, Any] = {}
    finish = None
    for chunk in map(json.loads, chunks):
        assert chunk["object"] == "chat.completion.chunk"
        completion |= {key: chunk[key] for key in ("id", "created", "model")}
        if not chunk["choices"]:
            completion["usage"] = chunk["usage"]
            continue
        assert "usage" not in completion, "the usage comes last"
        [choice] = chunk["choices"]
        delta, finish = choice["delta"], choice["finish_reason"]
        message["role"] = delta.get("role", message["role"])
        if delta.get("content"):
            message["content"] = (message["content"] or "") + delta["content"]
        for call in delta.get("tool_calls", []):
            known = message.setdefault("tool_calls", [])
            if call["index"] == len(known):
                known.append({key: value for key, value in call.items() if key != "index"})
            else:
                known[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {**completion, "object": "chat.completion", "choices": [choice]}


@FEW
@given(reply=replies)
def test_a_chat_stream_adds_up_to_the_whole_completion(reply: Reply) -> None:
    assert openai_client(b"".join(OPENAI.events(reply, REQUEST))) == OPENAI.render(reply)


@FEW
@given(reply=replies)
def test_a_chat_stream_reports_its_usage_only_on_request(reply: Reply) -> None:
    silent = ModelRequest(model="m", stream=True, stream_usage=False)
    chunks = [json.loads(data) for data in data_lines(b"".join(OPENAI.events(reply, silent)))[:-1]]
    assert all(chunk["choices"] and "usage" not in chunk for chunk in chunks)


@pytest.mark.parametrize(("wire", "prompt"), [(OPENAI, "prompt"), (RESPONSES, "input")])
def test_tokens_written_to_the_cache_are_counted_separately_if_they_are_reported(wire: Wire, prompt: str) -> None:
    body = wire.render(Reply(id="r", created=0, model="m", text="a"))
    details = {f"{prompt}_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 30}}
    body["usage"] |= {f"{prompt}_tokens": 100, **details}
    found = read(wire, json.dumps(body).encode(), streamed=False).usage
    assert found == TokenCounts(input_tokens=50, cache_read_tokens=20, cache_write_tokens=30)


def test_anthropic_requests_are_understood() -> None:
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "nö"}], "is_error": True}
    body: dict[str, Any] = {
        "model": "m",
        "stream": True,
        "max_tokens": 5,
        "tools": [{"name": "Bash", "input_schema": {"properties": {"command": {}}}}, {"type": "x", "name": "search"}],
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}]},
            {"role": "user", "content": [result, {"type": "text", "text": "and \ud83d"}]},
        ],
    }
    request = ANTHROPIC.parse(json.dumps(body).encode())
    assert (request.model, request.stream, request.turn, request.side) == ("m", True, 1, False)
    assert [tool.name for tool in request.tools] == ["Bash", "search"]
    [found] = request.results
    assert (found.call_id, found.text, found.is_error) == ("t1", "nö", True)
    told = {"role": "system", "content": "the folder is another one now"}
    told_more = json.dumps({**body, "messages": [*body["messages"], told]}).encode()
    assert ANTHROPIC.parse(told_more).results == request.results, "the CLI tells the model something after the results"
    assert ANTHROPIC.parse(json.dumps({**body, "tools": []}).encode()).side
    assert ANTHROPIC.parse(json.dumps({**body, "tool_choice": {"type": "none"}}).encode()).side


def test_chat_requests_are_understood() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "bash", "arguments": "{}"}}
    body = {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [{"type": "function", "function": {"name": "bash", "parameters": {"properties": {}}}}],
        "messages": [
            {"role": "system", "content": "be good"},
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "a remark is no turn"},
            {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "t2"}]},
            {"role": "tool", "tool_call_id": "t1", "content": "one"},
            {"role": "tool", "tool_call_id": "t2", "content": "two"},
        ],
    }
    request = OPENAI.parse(json.dumps(body).encode())
    assert (request.stream, request.stream_usage, request.turn, request.side) == (True, True, 1, False)
    assert [(result.call_id, result.text) for result in request.results] == [("t1", "one"), ("t2", "two")]
    assert OPENAI.parse(json.dumps({**body, "tool_choice": "none"}).encode()).side
    plain = OPENAI.parse(b'{"model": "m", "messages": []}')
    assert (plain.stream, plain.stream_usage, plain.turn, plain.side) == (False, False, 0, True)


@pytest.mark.parametrize(
    ("wire", "data", "error"),
    [
        (ANTHROPIC, '{"type":"error","error":{"type":"overloaded_error","message":"busy"}}', "overloaded_error: busy"),
        (OPENAI, '{"error":{"message":"busy","type":"server_error"}}', "busy"),
        (GOOGLE, '{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}', "UNAVAILABLE: busy"),
        (RESPONSES, '{"type":"error","code":"server_error","message":"busy"}', "server_error: busy"),
        (
            RESPONSES,
            '{"type":"response.failed","response":{"status":"failed","error":{"code":"overloaded","message":"busy"}}}',
            "overloaded: busy",
        ),
    ],
)
def test_an_error_in_mid_stream_is_noticed(wire: Wire, data: str, error: str) -> None:
    assert error in str(read(wire, f"data: {data}\n\n".encode(), streamed=True).error)


@pytest.mark.parametrize(
    ("wire", "body", "named"),
    [
        (ANTHROPIC, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search_20250305"),
        (ANTHROPIC, {"mcp_servers": [{"type": "url", "url": "https://example.org"}]}, "mcp_servers"),
        (OPENAI, {"web_search_options": {}}, "web_search_options"),
        (OPENAI, {"plugins": [{"id": "web"}]}, "plugins"),
        (ANTHROPIC, {"plugins": [{"id": "web"}]}, "plugins"),
        (RESPONSES, {"plugins": [{"id": "web"}]}, "plugins"),
        (OPENAI, {"tools": [{"type": "openrouter:web_search"}]}, "openrouter:web_search"),
        (RESPONSES, {"tools": [{"type": "mcp", "server_url": "https://example.org"}]}, "mcp"),
        (RESPONSES, {"tools": [{"type": "namespace", "name": "a", "tools": [{"type": "web_search"}]}]}, "web_search"),
        (RESPONSES, {"input": [{"type": "additional_tools", "tools": [{"type": "web_search"}]}]}, "web_search"),
        (GOOGLE, {"tools": [{"googleSearch": {}}]}, "googleSearch"),
        (GOOGLE, {"tools": [{"functionDeclarations": [], "url_context": {}}]}, "urlContext"),
        (GOOGLE, {"tools": {"google_search": {}}}, "googleSearch"),
    ],
)
def test_tools_that_the_service_would_run_itself_are_found(wire: Wire, body: dict[str, Any], named: str) -> None:
    plain: dict[str, Any] = {"model": "m", "messages": [], "input": [], "contents": []}
    assert wire.parse(json.dumps(plain | body).encode(), PATH).hosted == (named,)
    assert wire.parse(json.dumps(plain).encode(), PATH).hosted == ()


@pytest.mark.parametrize(
    ("wire", "body", "said"),
    [
        (RESPONSES, b'{"model": "m", "input": "a", "background": true}', "background: "),
        *((wire, b'{"model": "m", "messages": [], "input": [], "models": ["n"]}', "models: ") for wire in OPENROUTER),
        *((wire, b'{"model": "n", "messages": [], "input": [], "model": "m"}', "'model' twice") for wire in OPENROUTER),
        (GOOGLE, b'{"tools": [{"googleSearch": {}}], "tools": []}', "'tools' twice"),
        (GOOGLE, b'{"tool_config": {}, "toolConfig": {}}', "'toolConfig' is there under two names"),
    ],
)
def test_a_request_answered_by_another_model_or_without_count_is_refused(wire: Wire, body: bytes, said: str) -> None:
    with pytest.raises(WireError, match=said):
        wire.parse(body, PATH)


def test_tools_that_clients_run_are_not_the_services_own() -> None:
    kinds = ["custom", "bash_20250124", "text_editor_20250728", "tool_search_tool_regex_20251119", None]
    tools: list[dict[str, Any]] = [{"type": kind, "name": "a"} for kind in kinds]
    body = {"model": "m", "messages": [], "tools": [*tools, {"name": "a"}]}
    assert ANTHROPIC.parse(json.dumps(body).encode()).hosted == ()
    body = {"model": "m", "input": [], "tools": [{"type": "local_shell"}, {"type": "custom", "name": "apply_patch"}]}
    assert RESPONSES.parse(json.dumps(body).encode()).hosted == ()
