"""The wires find content that a model service would fetch from a URL."""

import json
from typing import Any

import pytest

from harness.gateway.wires.base import Wire
from tests.unit.test_gateway_wires import ANTHROPIC, GOOGLE, OPENAI, PATH, RESPONSES

REMOTE = "https://example.org/?secret"
HERE = "data:image/png;base64,AAAA"


def at(url: str) -> list[tuple[Wire, dict[str, Any]]]:
    """Return a body for each form in which content can be given by URL."""
    image = {"type": "image", "source": {"type": "url", "url": url}}
    held = {"type": "document", "source": {"type": "content", "content": [image]}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "a"}, image]}
    chat = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": url},
        {"type": "file", "file": {"filename": "a", "file_data": url}},
        {"type": "input_file", "file_url": url},
        {"type": "video_url", "video_url": {"url": url}},
    ]
    responses = [
        {"role": "user", "content": [{"type": "input_image", "image_url": url}]},
        {"role": "user", "content": [{"type": "input_file", "file_url": url}]},
        {"type": "function_call_output", "call_id": "t", "output": [{"type": "input_image", "image_url": url}]},
        {"type": "computer_call_output", "call_id": "t", "output": {"type": "screenshot", "image_url": url}},
    ]
    file: dict[str, Any] = {"fileData": {"fileUri": url}}
    said = {"role": "user", "parts": [file]}
    google: list[dict[str, Any]] = [
        {"contents": [said]},
        {"contents": [{"parts": [{"file_data": {"file_uri": url}}]}]},
        {"contents": [{"parts": [{"functionResponse": {"name": "a", "response": {}, "parts": [file]}}]}]},
        {"contents": [], "systemInstruction": said},
        {"contents": [], "generateContentRequest": {"contents": [said]}},
    ]
    return [
        *((ANTHROPIC, {"messages": [{"role": "user", "content": [block]}]}) for block in (image, held, result)),
        *((OPENAI, {"messages": [{"role": "user", "content": [block]}]}) for block in chat),
        *((RESPONSES, {"input": [item]}) for item in responses),
        *((GOOGLE, body) for body in google),
    ]


@pytest.mark.parametrize(("wire", "body"), at(REMOTE))
def test_content_that_the_service_would_fetch_is_found(wire: Wire, body: dict[str, Any]) -> None:
    assert wire.parse(json.dumps({"model": "m"} | body).encode(), PATH).hosted == ("url source",)


@pytest.mark.parametrize(("wire", "body"), at(HERE))
def test_content_within_the_request_is_not_to_be_fetched(wire: Wire, body: dict[str, Any]) -> None:
    assert wire.parse(json.dumps({"model": "m"} | body).encode(), PATH).hosted == ()


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (ANTHROPIC, {"messages": [{"role": "user", "content": f"see {REMOTE}"}]}),
        (ANTHROPIC, {"messages": [{"role": "user", "content": [{"type": "image", "source": {"file_id": "f"}}]}]}),
        (ANTHROPIC, {"messages": [{"role": "user", "content": [{"type": "search_result", "source": REMOTE}]}]}),
        (
            ANTHROPIC,
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": {"url": REMOTE}}]}]},
        ),
        (ANTHROPIC, {"messages": [], "tools": [{"name": "a", "input_schema": {"source": {"url": REMOTE}}}]}),
        (OPENAI, {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "QUJD"}}]}]}),
        (RESPONSES, {"input": [{"type": "function_call", "arguments": '{"url": "https://example.org"}'}]}),
        (RESPONSES, {"input": [{"type": "function_call_output", "output": REMOTE}]}),
        (
            GOOGLE,
            {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "a", "args": {"url": REMOTE}}}]}]},
        ),
        (GOOGLE, {"contents": [{"parts": [{"functionResponse": {"name": "a", "response": {"url": REMOTE}}}]}]}),
    ],
)
def test_a_url_that_is_only_mentioned_is_not_to_be_fetched(wire: Wire, body: dict[str, Any]) -> None:
    assert wire.parse(json.dumps({"model": "m"} | body).encode(), PATH).hosted == ()
