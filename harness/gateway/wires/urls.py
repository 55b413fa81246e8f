"""Finds URLs that a request asks the service to fetch. They would be a way out of a session without a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

URL_SOURCE: Final = "url source"
"""The name for such a URL in a request's `hosted`."""

_ADDRESSES: Final = frozenset(
    ("url", "image_url", "video_url", "audio_url", "file_url", "file_data", "fileUri", "file_uri")
)
"""Keys that hold a URL, in blocks of the wires, of OpenRouter and of vLLM."""

_HOLDERS: Final = frozenset(
    (
        *("content", "source", "file", "image_url", "video_url", "audio_url"),
        *("contents", "systemInstruction", "system_instruction", "generateContentRequest", "generate_content_request"),
        *("parts", "fileData", "file_data", "functionResponse", "function_response"),
    )
)
"""Keys under which content holds more content, Google's in both spellings.

Arguments of calls and answers that are data do not belong here.
"""


def fetched(content: Any) -> bool:
    """Return whether the service would fetch any of this content from a URL. It may be a block or hold blocks.

    The service does not fetch texts, ids of files and `data:` URLs.
    """
    rest = [content]
    while rest:
        block = rest.pop()
        if isinstance(block, list):
            rest += block
        elif isinstance(block, Mapping):
            if any(key in _ADDRESSES and _is_elsewhere(value) for key, value in block.items()):
                return True
            rest += [value for key, value in block.items() if key in _HOLDERS]
    return False


def _is_elsewhere(address: Any) -> bool:
    """Return whether this is a URL to fetch. Some services take base64 instead, which has no colon."""
    return isinstance(address, str) and ":" in address and not address.lower().startswith("data:")
