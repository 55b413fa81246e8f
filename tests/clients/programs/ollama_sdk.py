"""Ollama's own client. The gateway answers what it asks about models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cells import run
from ollama import Client


def models(url: str, wire: str) -> Mapping[str, Any]:
    client = Client(host=url)
    assert client.show("demo").capabilities
    return {"models": [one.model for one in client.list().models], "model": client.ps().models[0].model}


if __name__ == "__main__":
    run({"models": models})
