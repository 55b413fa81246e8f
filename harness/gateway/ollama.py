"""Answers of Ollama's native API about the one model served here (ollama's `docs/api.md`, around v0.33)."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

VERSION: Final = "0.33.0"
"""The version of Ollama's API that these answers follow."""

_MOMENT: Final = "2025-01-01T00:00:00Z"
_NEVER: Final = "2318-01-01T00:00:00Z"
_DETAILS: Final = {"format": "gguf", "family": "scripted", "parameter_size": "0", "quantization_level": "none"}


def _model(model: str) -> dict[str, Any]:
    digest = hashlib.sha256(model.encode()).hexdigest()
    return {"name": model, "model": model, "size": 0, "digest": digest, "details": _DETAILS}


def version() -> dict[str, Any]:
    """Return the answer to `GET /api/version`."""
    return {"version": VERSION}


def tags(model: str) -> dict[str, Any]:
    """Return the answer to `GET /api/tags`."""
    return {"models": [{**_model(model), "modified_at": _MOMENT, "capabilities": ["completion", "tools"]}]}


def ps(model: str, context: int) -> dict[str, Any]:
    """Return the answer to `GET /api/ps`: the model is loaded with `context` tokens, and no part is on a GPU."""
    return {"models": [{**_model(model), "size_vram": 0, "context_length": context, "expires_at": _NEVER}]}


def show(context: int) -> dict[str, Any]:
    """Return the answer to `POST /api/show`."""
    return {
        "details": _DETAILS,
        "template": "",
        "model_info": {"general.architecture": "scripted", "scripted.context_length": context},
        "capabilities": ["completion", "tools"],
        "modified_at": _MOMENT,
    }


def wanted(body: bytes) -> str:
    """Return the model that the body of `POST /api/show` names, or an empty string."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(data.get("model") or data.get("name") or "") if isinstance(data, dict) else ""


def error(message: str) -> dict[str, Any]:
    """Return the body of an error answer."""
    return {"error": message}
