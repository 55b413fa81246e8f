"""The Responses wire: its requests, and its streams."""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given

from harness.gateway.messages import Reply, ReplyToolCall
from tests.unit.test_gateway_wires import FEW, REQUEST, RESPONSES, data_lines, read, replies


def responses_client(stream: bytes) -> dict[str, Any]:
    """Build the response as a client does. Insist on the documented order of events."""
    events = [json.loads(data) for data in data_lines(stream)]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    order: Iterator[dict[str, Any]] = iter(events)
    assert [next(order)["type"], next(order)["type"]] == ["response.created", "response.in_progress"]
    built: list[dict[str, Any]] = []
    for event in order:
        if event["type"] in {"response.completed", "response.incomplete"}:
            assert event["type"] == f"response.{event['response']['status']}"
            assert next(order, None) is None
            assert event["response"]["output"] == built
            return dict(event["response"])
        assert event["type"] == "response.output_item.added"
        assert event["output_index"] == len(built)
        item, pieces = event["item"], []
        while (event := next(order))["type"] != "response.output_item.done":
            assert event["item_id"] == item["id"]
            if event["type"].endswith(".delta"):
                pieces.append(event["delta"])
        text = "".join(pieces)
        if item["type"] == "message":
            item["content"] = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
        else:
            item["arguments"] = text
        assert event["item"] == {**item, "status": "completed"}
        built.append(event["item"])
    raise AssertionError("the stream has no end")


@FEW
@given(reply=replies)
def test_a_responses_stream_adds_up_to_the_whole_response(reply: Reply) -> None:
    assert responses_client(b"".join(RESPONSES.events(reply, REQUEST))) == RESPONSES.render(reply)


def test_a_response_cut_by_its_limit_says_so() -> None:
    reason = {"reason": "max_output_tokens"}
    body: dict[str, Any] = {"status": "incomplete", "incomplete_details": reason, "output": [], "usage": None}
    whole = read(RESPONSES, json.dumps(body).encode(), streamed=False)
    event = {"type": "response.incomplete", "response": body}
    assert read(RESPONSES, f"data: {json.dumps(event)}\n\n".encode(), streamed=True) == whole
    assert (whole.complete, whole.stop_reason) == (True, "max_output_tokens")


def test_a_function_in_a_namespace_is_called_there() -> None:
    tools = [
        {"type": "function", "name": "exec_command", "parameters": {"properties": {"cmd": {}}}},
        {"type": "namespace", "name": "mcp__env", "tools": [{"type": "function", "name": "look", "parameters": {}}]},
        {"type": "web_search"},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}},
    ]
    request = RESPONSES.parse(json.dumps({"model": "m", "input": "go", "tools": tools}).encode())
    assert [tool.name for tool in request.tools] == ["exec_command", "mcp__env.look", "web_search", "apply_patch"]
    reply = Reply(
        id="r", created=0, model="m", calls=(ReplyToolCall("c", "mcp__env.look", {}), ReplyToolCall("d", "exec", {}))
    )
    look, plain = RESPONSES.render(reply)["output"]
    assert (look["namespace"], look["name"]) == ("mcp__env", "look")
    assert (plain.get("namespace"), plain["name"]) == (None, "exec")
    outcome = read(RESPONSES, b"".join(RESPONSES.events(reply, REQUEST)), streamed=True)
    assert outcome.tools_called == ("mcp__env.look", "exec")


def test_tools_may_be_offered_in_the_conversation() -> None:
    """Codex (0.169.0) does this for models that it knows. Such a turn still counts as a turn."""
    tools = [{"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}]
    offer = {"type": "additional_tools", "id": "at_1", "role": "developer", "tools": tools}
    request = RESPONSES.parse(json.dumps({"model": "m", "input": [offer, {"role": "user", "content": "go"}]}).encode())
    assert [tool.name for tool in request.tools] == ["functions.exec"]
    assert (request.side, request.turn, request.opening) == (False, 0, "go")


def test_responses_requests_are_understood() -> None:
    def message(role: str, text: str) -> dict[str, Any]:
        return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}

    def call(call_id: str) -> dict[str, Any]:
        return {"type": "function_call", "call_id": call_id, "name": "exec_command", "arguments": "{}"}

    def output(call_id: str, said: Any) -> dict[str, Any]:
        return {"type": "function_call_output", "call_id": call_id, "output": said}

    body = {
        "model": "m",
        "stream": True,
        "tools": [{"type": "function", "name": "exec_command", "parameters": {"properties": {}}}],
        "input": [
            message("developer", "be good"),
            message("user", "<cwd>/w</cwd>"),
            message("user", "go"),
            {"type": "reasoning", "summary": []},
            message("assistant", "I look."),
            call("t1"),
            call("t2"),
            output("t1", "one"),
            output("t2", "two"),
            call("t3"),
            output("t3", [{"type": "input_text", "text": "nö"}, {"type": "input_image", "image_url": "data:"}]),
        ],
    }
    request = RESPONSES.parse(json.dumps(body).encode())
    assert (request.model, request.stream, request.turn, request.side) == ("m", True, 2, False)
    assert [(result.call_id, result.text) for result in request.results] == [("t3", "nö")]
    assert request.opening == "<cwd>/w</cwd>\ngo"
    assert RESPONSES.parse(json.dumps({**body, "tool_choice": "none"}).encode()).side
    plain = RESPONSES.parse(b'{"model": "m", "input": "hi"}')
    assert (plain.stream, plain.turn, plain.side, plain.opening) == (False, 0, True, "hi")
