"""What the tests of the gateway share: a client that speaks as a CLI does, and a provider that forwards."""

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

MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"


class Session:
    """An open account, and a client that talks to it as a CLI does."""

    def __init__(self, account: Account, client: httpx2.Client, books: Path) -> None:
        self.account = account
        self.client = client
        self._books = books

    def ask(self, path: str, turn: int = 0, *, stream: bool = True, tools: bool = True, model: str = "demo") -> Any:
        """Ask for an answer to a conversation that holds `turn` turns already."""
        return self.client.post(path, json=conversation(path, turn, stream=stream, tools=tools, model=model))

    def books(self) -> list[dict[str, Any]]:
        """Close the account and read its books."""
        self.account.close()
        return [json.loads(line) for line in self._books.read_text().splitlines()]


def conversation(path: str, turn: int, *, stream: bool, tools: bool = True, model: str = "demo") -> dict[str, Any]:
    schema = {"type": "object", "properties": {"command": {}}, "required": ["command"]}
    call = {"id": "t", "type": "function", "function": {"name": "bash", "arguments": "{}"}}
    if path.startswith(MESSAGES):
        use = {"type": "tool_use", "id": "t", "name": "bash", "input": {}}
        said: list[Any] = [{"role": "assistant", "content": [use]}, {"role": "user", "content": "ok"}]
        tool: dict[str, Any] = {"name": "bash", "input_schema": schema}
    else:
        said = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "t", "content": "ok"}]
        tool = {"type": "function", "function": {"name": "bash", "parameters": schema}}
    messages = [{"role": "user", "content": "go"}, *said * turn]
    options = {"stream_options": {"include_usage": True}} if stream and path == CHAT else {}
    return {"model": model, "stream": stream, "messages": messages, "tools": [tool] if tools else [], **options}


def text_of(response: Any) -> str:
    """The text that an answer says, whatever its form."""
    if "event-stream" not in response.headers["content-type"]:
        body = response.json()
        return str(body["choices"][0]["message"]["content"] if "choices" in body else body["content"][0]["text"])
    data = [line[6:] for line in response.text.split("\n") if line.startswith("data: {")]
    deltas = [
        event.get("delta") or (event.get("choices") or [{}])[0].get("delta", {}) for event in map(json.loads, data)
    ]
    return "".join(delta.get("text") or delta.get("content") or "" for delta in deltas)


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what happens on the gateway's own thread."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        threading.Event().wait(0.005)


class Forwarder:
    """A provider such as the real ones: passes on another server's bytes, pausing until it is let go on."""

    def __init__(self, before: list[bytes], after: list[bytes], fault: Exception | None = None) -> None:
        self.go_on = threading.Event()
        self._before, self._after, self._fault = before, after, fault

    async def answer(self, call: Any) -> Answer:
        return Answer(status=200, headers={"content-type": "text/event-stream", "x-id": "7"}, chunks=self._chunks())

    async def count_tokens(self, call: Any) -> int:
        return 0

    async def _chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._before:
            yield chunk
        await anyio.to_thread.run_sync(self.go_on.wait)
        for chunk in self._after:
            yield chunk
        if self._fault:
            raise self._fault
