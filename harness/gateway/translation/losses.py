"""What of a request does not reach a provider over another wire. `docs/models.md` lists it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from harness.gateway.translation.chat import Chat


class _Loss(Struct, frozen=True):
    """What a key of a request stands for, and the wires over which it is carried all the same."""

    name: str
    carried_by: frozenset[str] = frozenset()


_LOSSES: Final[Mapping[str, _Loss]] = {
    "cache_control": _Loss("marks for the prompt cache (cache_control)", frozenset(("anthropic_messages",))),
    "prompt_cache_key": _Loss("the key of the prompt cache (prompt_cache_key)"),
    "is_error": _Loss("the mark of a failed tool call (is_error); its text is carried"),
    "context_management": _Loss("the service's own forgetting of old thoughts (context_management)"),
    "verbosity": _Loss("the verbosity of answers"),
    "response_format": _Loss("the form of an answer (a JSON schema)", frozenset(("openai_responses",))),
}

_EFFORT: Final = frozenset(("reasoning_effort", "reasoning", "thinking", "output_config", "thinkingConfig"))
"""The keys by which a request tells how hard to think."""

_OF_TOOLS: Final = frozenset(("input_schema", "parameters", "parametersJsonSchema", "args", "response"))
"""Keys whose contents belong to the tools."""


def losses(body: Mapping[str, Any], chat: Chat, sent: Mapping[str, Any], upstream: str) -> set[str]:
    """Return what a request loses: `body` became `chat`, and then the body `sent` over `upstream`."""
    keys = {*_keys(body), *chat.params}
    found = {loss.name for key, loss in _LOSSES.items() if key in keys and upstream not in loss.carried_by}
    thought = any(one.get("thinking_blocks") or one.get("reasoning_content") for one in chat.messages)
    if thought and upstream == "openai_chat":
        found.add("thoughts of earlier turns")
    if "reasoning_effort" in chat.params and not _tells_effort(sent):
        found.add("the effort of thinking, because litellm does not list the model as one that thinks")
    return found


def _tells_effort(sent: Mapping[str, Any]) -> bool:
    """Return whether a request tells how hard to think."""
    return not _EFFORT.isdisjoint({*sent, *sent.get("generationConfig", {})})


def _keys(value: Any) -> Iterator[str]:
    """Yield the keys of objects anywhere in a value, except in the arguments and the schemas of tools."""
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, dict):
            for name, inner in part.items():
                if inner not in (None, False):
                    yield name
                if name not in _OF_TOOLS and not (name == "input" and isinstance(inner, dict)):
                    rest.append(inner)
        elif isinstance(part, list):
            rest += part
