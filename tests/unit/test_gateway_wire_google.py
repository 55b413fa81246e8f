"""Google's wire: its requests, its streams, and the usage of its answers."""

import json
from typing import Any

import pytest
from hypothesis import given

from harness.gateway.messages import AnswerOutcome, Reply, TokenCounts, WireError
from harness.gateway.wires.reader import Reader
from tests.unit.test_gateway_wires import FEW, GOOGLE, REQUEST, data_lines, read, replies


def google_client(stream: bytes) -> dict[str, Any]:
    """Build the response as a client does: join the texts, and take the latest usage and reason."""
    built: dict[str, Any] = {}
    parts: list[dict[str, Any]] = []
    for chunk in map(json.loads, data_lines(stream)):
        assert "finishReason" not in built, "the reason comes last"
        [candidate] = chunk["candidates"]
        for part in candidate["content"]["parts"]:
            if "text" in part and parts and "text" in parts[-1]:
                parts[-1]["text"] += part["text"]
            elif part != {"text": ""}:
                parts.append(part)
        built = chunk | {"candidates": [{**candidate, "content": {"role": "model", "parts": parts}}]}
        assert ("finishReason" in candidate) == ("usageMetadata" in chunk)
    return built


@FEW
@given(reply=replies)
def test_a_google_stream_adds_up_to_the_whole_response(reply: Reply) -> None:
    assert google_client(b"".join(GOOGLE.events(reply, REQUEST))) == GOOGLE.render(reply)


def test_google_requests_are_understood() -> None:
    def call(name: str, call_id: str) -> dict[str, Any]:
        return {"functionCall": {"name": name, "id": call_id, "args": {}}, "thoughtSignature": "c2ln"}

    def answer(name: str, **response: Any) -> dict[str, Any]:
        return {"functionResponse": {"name": name, **response}}

    body = {
        "systemInstruction": {"parts": [{"text": "be good"}]},
        "tools": [
            {"functionDeclarations": [{"name": "bash", "parameters": {"properties": {"command": {}}}}]},
            {"functionDeclarations": [{"name": "look", "parametersJsonSchema": {"properties": {"seed": {}}}}]},
            {"googleSearch": {}},
        ],
        "contents": [
            {"role": "user", "parts": [{"text": "go"}, {"inlineData": {"mimeType": "image/png", "data": ""}}]},
            {"role": "model", "parts": [{"text": "hm", "thought": True}, call("bash", "t1"), call("look", "t2")]},
            {"role": "user", "parts": [answer("bash", id="t1", response={"output": "one"}), answer("look")]},
            {"role": "model", "parts": [{"text": "a remark is no turn"}]},
            {"role": "user", "parts": [{"text": "and \ud83d"}]},
            {"role": "model", "parts": [call("bash", "t3")]},
            {"role": "user", "parts": [answer("bash", response={"name": "bash", "content": "nö"}), answer("look")]},
        ],
    }
    path = "/v1beta/models/qwen3:32b:streamGenerateContent?alt=sse"
    request = GOOGLE.parse(json.dumps(body).encode(), path)
    assert (request.model, request.stream, request.turn, request.side) == ("qwen3:32b", True, 2, False)
    assert {tool.name: set(tool.schema["properties"]) for tool in request.tools} == {
        "bash": {"command"},
        "look": {"seed"},
    }
    assert request.opening == "go"
    assert [(result.call_id, result.text) for result in request.results] == [("bash", "bash\nnö"), ("look", "")]
    forbidden = {**body, "toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}
    assert GOOGLE.parse(json.dumps(forbidden).encode(), path).side
    plain = GOOGLE.parse(b'{"contents": []}', "/v1/models/m:generateContent")
    assert (plain.model, plain.stream, plain.turn, plain.side, plain.opening) == ("m", False, 0, True, "")
    assert GOOGLE.parse(b"{}", "/v1beta/org/m:generateContent").model == "org/m"


@pytest.mark.parametrize("path", ["/v1beta/models/m", "/v1beta/models/m:embedContent", "/v1/messages", ""])
def test_a_google_path_without_model_and_method_is_refused(path: str) -> None:
    with pytest.raises(WireError, match="names no model and method"):
        GOOGLE.parse(b"{}", path)


def test_google_streams_only_as_events() -> None:
    with pytest.raises(WireError, match="alt=sse"):
        GOOGLE.parse(b"{}", "/v1beta/models/m:streamGenerateContent?alt=json")


def test_google_usage_counts_thoughts_as_output_and_cached_tokens_separately() -> None:
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "toolUsePromptTokenCount": 5,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 30,
        "totalTokenCount": 142,
    }
    call = {"functionCall": {"name": "bash", "args": {}}}
    early = {"candidates": [{"content": {"parts": [call]}}], "usageMetadata": {"promptTokenCount": 100}}
    last = {"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}], "usageMetadata": usage}
    outcome = read(GOOGLE, f"data: {json.dumps(early)}\r\n\r\ndata: {json.dumps(last)}\r\n\r\n".encode(), streamed=True)
    assert outcome == AnswerOutcome(
        usage=TokenCounts(input_tokens=45, output_tokens=37, cache_read_tokens=60),
        tools_called=("bash",),
        stop_reason="MAX_TOKENS",
        complete=True,
    )


def chunk(**data: Any) -> bytes:
    return f"data: {json.dumps(data)}\r\n\r\n".encode()


REASON: dict[str, Any] = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}


def test_google_may_report_the_usage_after_the_reason() -> None:
    reader = Reader(GOOGLE, streamed=True)
    reader.feed(chunk(usageMetadata={"promptTokenCount": 1}) + chunk(**REASON))
    assert not reader.outcome.complete, "the usage so far is not the usage of the whole answer"
    reader.feed(chunk(usageMetadata={"promptTokenCount": 9, "candidatesTokenCount": 4}))
    usage = TokenCounts(input_tokens=9, output_tokens=4)
    assert reader.outcome == AnswerOutcome(usage=usage, stop_reason="STOP", complete=True)


@pytest.mark.parametrize("cut", [True, False])
def test_a_google_stream_without_usage_is_complete_if_it_ends_by_itself(cut: bool) -> None:
    reader = Reader(GOOGLE, streamed=True)
    reader.feed(chunk(**REASON))
    reader.finish(cut=cut)
    assert (reader.outcome.usage, reader.outcome.complete, reader.outcome.error is None) == (None, not cut, not cut)


@pytest.mark.parametrize("streamed", [True, False])
def test_a_prompt_that_google_blocks_gets_no_answer(streamed: bool) -> None:
    blocked = json.dumps({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}})
    outcome = read(GOOGLE, f"data: {blocked}\n\n".encode() if streamed else blocked.encode(), streamed=streamed)
    assert (outcome.complete, outcome.error) == (False, "the prompt was blocked: SAFETY")
    assert outcome.usage == TokenCounts(input_tokens=9)
