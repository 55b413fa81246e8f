"""Refuses what a request must not ask of a model service, on every wire.

The budget counts a request by its tools and its answers. So it must see them as the service does: under one spelling,
in one form, and in the request itself rather than in something that the service keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from harness.gateway.messages import WireError

_OLD_TOOLS: Final = ("functions", "function_call")
"""OpenAI's form of tools before `tools`."""

_STORED: Final = ("previous_response_id", "conversation", "prompt", "cachedContent", "cached_content", "container")
"""What refers to something that the service keeps: a conversation, a prompt with its tools, content, files."""

_STORES: Final = ("store",)

_NAMES: Final = (
    *("model", "stream", "background", "messages", "input", "contents", "tools", "tool_choice", "mcp_servers"),
    *("plugins", "models", "web_search_options", "n", "best_of", "n_cmpl", "stream_options"),
    *("max_tokens", "max_completion_tokens", "max_output_tokens"),
    *("generationConfig", "generation_config", "maxOutputTokens", "candidateCount", "candidate_count"),
    *("toolConfig", "tool_config", "systemInstruction", "system_instruction"),
    *(*_OLD_TOOLS, *_STORED, *_STORES),
)
"""The names of fields, on any wire, on which the gateway's decisions depend."""

_SHOWN: Final = 40


def check(body: Mapping[str, Any]) -> None:
    """Raise `WireError` for a request's body that the gateway would not count as the service answers it."""
    check_spelling(body)
    for name in _OLD_TOOLS:
        if body.get(name):
            raise WireError(f"{name}: this old form of tools is not served; offer the functions as `tools`")
    for name in _STORED:
        if body.get(name) not in (None, ""):
            raise WireError(f"{name}: this session uses nothing that the service keeps; send the whole conversation")
    for name in _STORES:
        if body.get(name):
            raise WireError(f"{name}: the service must keep nothing of this session; send false")


def check_spelling(fields: Mapping[str, Any]) -> None:
    """Raise `WireError` for another spelling of a known name. Some services read names without regard to case."""
    for name in fields:
        if name not in _NAMES and (known := _FOLDED.get(_folded(name))):
            raise WireError(f"{name[:_SHOWN]!r} is read as {known} by some services; write {known}")


def _folded(name: str) -> str:
    """Return what all spellings of a name have in common. Case folding knows the letters that look alike, too."""
    return name.casefold().replace("_", "").replace("-", "")


def _all_folded(names: Iterable[str]) -> dict[str, str]:
    return {_folded(name): name for name in reversed(list(names))}


_FOLDED: Final = _all_folded(_NAMES)
