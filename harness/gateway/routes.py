"""Finds the wire of a request by its path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from harness.gateway.wires import anthropic_messages, google_generate, google_names, openai_chat, openai_responses
from harness.gateway.wires.base import Wire


class Route(Struct, frozen=True):
    """What a path asks for: the model's answer over a wire, or the number of tokens in a prompt."""

    wire: Wire
    counts: bool = False

    def body(self, body: bytes) -> bytes:
        """Return a valid body in the form that goes to the model. Only Google's wire has several forms."""
        return google_names.canonical(body) if self.wire is google_generate else body


_WIRES: Final[Mapping[str, Wire]] = {
    wire.NAME: wire for wire in (anthropic_messages, google_generate, openai_chat, openai_responses)
}
_ROUTES: Final[Mapping[str, Route]] = {
    "/v1/messages": Route(anthropic_messages),
    "/v1/messages/count_tokens": Route(anthropic_messages, counts=True),
    "/v1/chat/completions": Route(openai_chat),
    "/v1/responses": Route(openai_responses),
    "/v1/responses/input_tokens": Route(openai_responses, counts=True),
}


_GOOGLES_PATHS: Final = ("/v1beta/", "/v1alpha/")
_GOOGLES_HEADERS: Final = frozenset(("x-goog-api-key", "x-goog-api-client"))
"""What only Google's clients send. They share some paths with the clients of other services."""

_MODELS: Final = re.compile(r"/v1(?:beta|alpha)?/models(?:/(?P<name>.+))?")


def wire_of(name: str) -> Wire:
    """Return the wire of this name."""
    return _WIRES[name]


def route(path: str) -> Route | None:
    """Return what this path (without its query) asks for, or None if it does not ask the model."""
    google = google_generate.PATH.fullmatch(path)
    if google:
        return Route(google_generate, counts=google["method"] == "countTokens")
    return _ROUTES.get(path)


def model_asked(path: str) -> str | None:
    """Return the name of the model that a path asks about. It is empty for all models, and None for another path."""
    found = _MODELS.fullmatch(path)
    return found and (found["name"] or "")


def dialect(path: str, headers: Mapping[str, str]) -> Wire:
    """Return the wire that a client speaks, even if its request does not ask the model."""
    asked = route(path)
    if asked:
        return asked.wire
    if path.startswith(_GOOGLES_PATHS) or not _GOOGLES_HEADERS.isdisjoint(headers):
        return google_generate
    return anthropic_messages if "anthropic-version" in headers else openai_chat
