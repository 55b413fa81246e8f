"""What a CLI asked of its model: the API, the tools that it offered and the settings of sampling, as it sent them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from harness.gateway.provider import Call

_SAMPLING: Final = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "reasoning",
    "reasoning_effort",
    "thinking",
    "output_config",
    "verbosity",
    "parallel_tool_calls",
    "generationConfig",
)
"""The keys of a request's body, on any wire, that change how an answer is drawn."""


class FirstRequest(Struct, frozen=True):
    """The first request of a session's turns.

    `api` is the version of the API: the beginning of the path, and what the header `anthropic-version` says. `tools` is
    a SHA-256 in hexadecimal of the names of all tools and the schemas of their arguments. `sampling` lists the settings
    that the request states, such as `max_tokens=4096 thinking.type=adaptive`. A message of Anthropic's API may state an
    effort for the answers that follow it: `messages[].output_config.effort=low`. The last one counts.
    """

    api: str
    tools: str
    sampling: str


def first_request(call: Call) -> FirstRequest:
    """Return what this request asks for. The path of the session's workspace does not count."""
    offered = sorted(([tool.name, tool.schema] for tool in call.request.tools), key=lambda tool: str(tool[0]))
    tools = _json(offered)
    if call.workspace:
        tools = tools.replace(call.workspace, "WORKSPACE")
    body: dict[str, Any] = json.loads(call.body)
    api = [call.path.strip("/").partition("/")[0], call.headers.get("anthropic-version", "")]
    return FirstRequest(
        api=" ".join(filter(None, api)),
        tools=hashlib.sha256(tools.encode()).hexdigest(),
        sampling=" ".join(_settings({name: body[name] for name in _SAMPLING if name in body} | _of_messages(body))),
    )


def _of_messages(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that messages state. A later message replaces those of an earlier one."""
    messages = body.get("messages")
    stated: dict[str, Any] = {}
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and isinstance(message.get("output_config"), dict):
            stated |= message["output_config"]
    return {"messages[].output_config": stated}


def _settings(body: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Yield each setting that is not null. One inside another has the names of both."""
    for name in sorted(body):
        value = body[name]
        if isinstance(value, dict):
            yield from _settings(value, f"{where}{name}.")
        elif value is not None:
            yield f"{where}{name}={value if isinstance(value, str) else _json(value)}"


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
