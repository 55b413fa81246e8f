"""One form for Google's requests. Protobuf's JSON takes each field by two names, and one object for a list of one.

Code that knew both forms would miss a place, where the gateway then reads something else than the service does. So each
request is brought into one form first: names in camel case, and lists wherever there may be several objects.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from harness.gateway.messages import WireError

_FREE: Final = frozenset(
    ("args", "response", "parameters", "parametersJsonSchema", "responseJsonSchema", "responseSchema", "labels")
)
"""Fields whose names belong to the client: arguments, results and schemas."""

_LISTS: Final = frozenset(("contents", "parts", "tools", "functionDeclarations", "safetySettings"))
"""Fields that hold a list of objects."""

_NEXT_WORD: Final = re.compile(r"(?<=[a-z0-9])_([a-z])")


def canonical(body: bytes) -> bytes:
    """Return the JSON of a request's body in the one form. A body that has it already stays as it is."""
    data = json.loads(body)
    formed = one_form(data)
    return body if formed == data else json.dumps(formed, separators=(",", ":")).encode()


def one_form(value: Any) -> Any:
    """Return a decoded body in the one form. Raise `WireError` if it has a field under both of its names."""
    if isinstance(value, list):
        return [one_form(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    formed: dict[str, Any] = {}
    for name, inner in value.items():
        known = _NEXT_WORD.sub(lambda found: found[1].upper(), name)
        if known in formed:
            raise WireError(f"{known[:40]!r} is there under two names: send it once")
        within = inner if known in _FREE else one_form(inner)
        formed[known] = [within] if known in _LISTS and isinstance(within, dict) else within
    return formed
