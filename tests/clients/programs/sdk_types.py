"""Prints the types of the requests that the official clients make, by wire, as JSON schemas.

`tests/properties/test_client_types.py` makes requests of them. `make clients` compares them with the files in
`tests/clients/types`. `make clients-types` writes these files again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anthropic.types.message_create_params import MessageCreateParams
from google.genai import types
from openai.types.chat.completion_create_params import CompletionCreateParams
from openai.types.responses.response_create_params import ResponseCreateParams
from pydantic import TypeAdapter
from typing_extensions import TypedDict

_TOLD = frozenset(("title", "description", "default", "examples", "format", "discriminator", "deprecated"))


class GoogleRequest(TypedDict, total=False):
    """The body of generateContent. The client builds it of these types."""

    contents: list[types.Content]
    systemInstruction: types.Content | None
    tools: list[types.Tool] | None
    toolConfig: types.ToolConfig | None
    generationConfig: types.GenerationConfig | None


SOURCES: dict[str, tuple[str, Any]] = {
    "openai_chat": ("openai", CompletionCreateParams),
    "openai_responses": ("openai", ResponseCreateParams),
    "anthropic_messages": ("anthropic", MessageCreateParams),
    "google_generate": ("google-genai", GoogleRequest),
}


def plain(schema: Any, *, names: bool = False) -> Any:
    """Return a schema without what only people read. `names` says that the keys are the names of fields."""
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: plain(held, names=not names and key in {"properties", "$defs"})
        for key, held in schema.items()
        if names or key not in _TOLD
    }


def files() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file."""
    for wire, (package, kind) in SOURCES.items():
        schema = plain(TypeAdapter(kind).json_schema(by_alias=True))
        known = {"package": package, "version": version(package), "schema": schema}
        yield f"{wire}.json", json.dumps(known, sort_keys=True, separators=(",", ":"), indent=0) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, text in files():
        (folder / name).write_text(text, "utf-8")
