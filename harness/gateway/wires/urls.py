"""What a request's content has the service fetch for it: a way out for a session that has no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

URL_SOURCE: Final = "url source"
"""What a request's `hosted` calls it."""

_ADDRESSES: Final = frozenset(
    ("url", "image_url", "video_url", "audio_url", "file_url", "file_data", "fileUri", "file_uri")
)
"""Keys of a block whose text says where something is: those of the wires, of OpenRouter and of vLLM."""

_HOLDERS: Final = frozenset(
    (
        *("content", "source", "file", "image_url", "video_url", "audio_url"),
        *("contents", "systemInstruction", "system_instruction", "generateContentRequest", "generate_content_request"),
        *("parts", "fileData", "file_data", "functionResponse", "function_response"),
    )
)
"""Keys under which content has more of it, Google's in both its spellings.

The arguments of calls and answers that are data are not among them.
"""


def fetched(content: Any) -> bool:
    """Whether the service would fetch any of this content (a block, a list of them, or what holds such) from a URL.

    Texts, ids of files and `data:` URLs are there already.
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
    """Whether it is the URL of a place; Base64, which some take there, has no colon."""
    return isinstance(address, str) and ":" in address and not address.lower().startswith("data:")
