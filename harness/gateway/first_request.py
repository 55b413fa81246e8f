"""What a CLI asked of its model: the tools that it offered and the settings of sampling, as it sent them itself."""

from __future__ import annotations

import hashlib
import json
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
    "tool_choice",
    "parallel_tool_calls",
    "generationConfig",
)
"""The keys of a request's body, on any wire, that change how an answer is drawn."""


class FirstRequest(Struct, frozen=True):
    """The first request of a session that offers tools.

    `tools` is a SHA-256 in hexadecimal of the names of all tools and the schemas of their arguments. `sampling` is JSON
    with the settings that the request states.
    """

    tools: str
    sampling: str


def first_request(call: Call) -> FirstRequest:
    """Return what this request asks for. The path of the session's workspace does not count."""
    offered = sorted(([tool.name, tool.schema] for tool in call.request.tools), key=lambda tool: str(tool[0]))
    tools = _json(offered)
    if call.workspace:
        tools = tools.replace(call.workspace, "WORKSPACE")
    body: dict[str, Any] = json.loads(call.body)
    sampling = {name: body[name] for name in _SAMPLING if body.get(name) is not None}
    return FirstRequest(tools=hashlib.sha256(tools.encode()).hexdigest(), sampling=_json(sampling))


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
