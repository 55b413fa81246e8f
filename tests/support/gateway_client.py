"""Helpers for tests of the gateway: a client that behaves like a CLI, and a provider that forwards."""

import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2

from harness.gateway.account import Account
from harness.gateway.provider import Answer

MESSAGES, CHAT, RESPONSES, GOOGLE = "/v1/messages", "/v1/chat/completions", "/v1/responses", "/v1beta/models"
"""The path of each wire. Google's path continues with the model and the method."""


class Session:
    """An open account, and a client that talks to it like a CLI."""

    def __init__(self, account: Account, client: httpx2.Client, ledger: Path) -> None:
        self.account = account
        self.client = client
        self._ledger = ledger

    def ask(
        self, path: str, turn: int = 0, *, stream: bool = True, tools: bool = True, model: str = "demo", **more: Any
    ) -> Any:
        """Ask for an answer to a conversation that already has `turn` turns. `more` is added to the request's body."""
        body = conversation(path, turn, stream=stream, tools=tools, model=model) | more
        return self.client.post(address(path, stream=stream, model=model), json=body)

    def ledger(self) -> list[dict[str, Any]]:
        """Close the account and read its ledger."""
        self.account.close()
        return [json.loads(line) for line in self._ledger.read_text().splitlines()]


def address(path: str, *, stream: bool, model: str = "demo") -> str:
    """Return the whole path, with its query."""
    if path != GOOGLE:
        return path
    return f"{path}/{model}:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}"


def conversation(path: str, turn: int, *, stream: bool, tools: bool = True, model: str = "demo") -> dict[str, Any]:
    """Return a request's body: a conversation that already has `turn` turns."""
    schema = {"type": "object", "properties": {"command": {}}, "required": ["command"]}
    offered: list[dict[str, Any]] = []
    if path == GOOGLE:
        use = {"role": "model", "parts": [{"functionCall": {"id": "t", "name": "bash", "args": {}}}]}
        result = {"functionResponse": {"id": "t", "name": "bash", "response": {"output": "ok"}}}
        said: list[Any] = [use, {"role": "user", "parts": [result]}]
        offered = [{"functionDeclarations": [{"name": "bash", "parameters": schema}]}]
        contents = [{"role": "user", "parts": [{"text": "go"}]}, *said * turn]
        return {"contents": contents, "tools": offered if tools else []}
    if path == RESPONSES:
        said = [
            {"type": "function_call", "call_id": "t", "name": "bash", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "t", "output": "ok"},
        ]
        offered = [{"type": "function", "name": "bash", "parameters": schema}]
        messages = {"input": [{"role": "user", "content": "go"}, *said * turn]}
        return {"model": model, "stream": stream, "tools": offered if tools else [], **messages}
    if path.startswith(MESSAGES):
        block = {"type": "tool_use", "id": "t", "name": "bash", "input": {}}
        said = [{"role": "assistant", "content": [block]}, {"role": "user", "content": "ok"}]
        offered = [{"name": "bash", "input_schema": schema}]
    else:
        call = {"id": "t", "type": "function", "function": {"name": "bash", "arguments": "{}"}}
        said = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "t", "content": "ok"}]
        offered = [{"type": "function", "function": {"name": "bash", "parameters": schema}}]
    options = {"stream_options": {"include_usage": True}} if stream and path == CHAT else {}
    messages = {"messages": [{"role": "user", "content": "go"}, *said * turn]}
    return {"model": model, "stream": stream, "tools": offered if tools else [], **messages, **options}


def text_of(response: Any) -> str:
    """Return the text of an answer in any form."""
    if "event-stream" not in response.headers["content-type"]:
        return _text(response.json())
    data = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
    return "".join(_piece(event) for event in map(json.loads, data))


def _text(body: Any) -> str:
    if "choices" in body:
        return str(body["choices"][0]["message"]["content"])
    if "candidates" in body:
        return "".join(part.get("text", "") for part in body["candidates"][0]["content"]["parts"])
    if "output" in body:
        return str(body["output"][0]["content"][0]["text"])
    return str(body["content"][0]["text"])


def _piece(event: Any) -> str:
    if "candidates" in event:
        return _text(event)
    delta = event.get("delta") or (event.get("choices") or [{}])[0].get("delta", {})
    if isinstance(delta, str):
        return delta if event["type"] == "response.output_text.delta" else ""
    return delta.get("text") or delta.get("content") or ""


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something has happened on the gateway's thread."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.005)


class Forwarder:
    """A provider like the real ones: passes on another server's bytes, and pauses until the test lets it continue."""

    def __init__(self, before: list[bytes], after: list[bytes], fault: Exception | None = None) -> None:
        self.go_on = threading.Event()
        self.asked = 0
        self._before, self._after, self._fault = before, after, fault

    async def answer(self, call: Any) -> Answer:
        self.asked += 1
        return Answer(status=200, headers={"content-type": "text/event-stream", "x-id": "7"}, chunks=self._chunks())

    async def count_tokens(self, call: Any) -> int:
        self.asked += 1
        return 0

    async def _chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._before:
            yield chunk
        await anyio.to_thread.run_sync(self.go_on.wait)
        for chunk in self._after:
            yield chunk
        if self._fault:
            raise self._fault
