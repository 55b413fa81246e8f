"""Finds Ollama: a server that answers, or a binary that could be started."""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

DEFAULT_URL = "http://127.0.0.1:11434"
_ANSWER_S = 2.0


class OllamaMissing(Exception):
    """There is neither a server nor a binary; the message says where was looked and how to get it."""


class Ollama(Struct, frozen=True):
    """What was found: a running server (`url` and `version`), or else the `binary`."""

    url: str | None = None
    version: str | None = None
    binary: Path | None = None


def find_ollama() -> Ollama:
    """Ask the server at OLLAMA_HOST (default 127.0.0.1:11434) for its version; else look for `ollama` on PATH.

    Raises `OllamaMissing`.
    """
    url = server_url(os.environ.get("OLLAMA_HOST", ""))
    version = _version(url)
    if version is not None:
        return Ollama(url=url, version=version)
    binary = shutil.which("ollama")
    if binary is None:
        raise OllamaMissing(
            f"no Ollama: nothing answers at {url} and there is no `ollama` on PATH; "
            "install it from ollama.com, or set OLLAMA_HOST to a running server"
        )
    return Ollama(binary=Path(binary))


def server_url(host: str) -> str:
    """The address that an OLLAMA_HOST value means (`host`, `host:port`, `:port` or a URL; envconfig/config.go)."""
    if not host.strip():
        return DEFAULT_URL
    value = host.strip().rstrip("/")
    scheme, separator, rest = value.rpartition("://")
    parts = urlsplit(f"//{rest}")
    standard = {"http": 80, "https": 443}.get(scheme, 11434) if separator else 11434
    name = parts.hostname or "127.0.0.1"
    name = "127.0.0.1" if name == "0.0.0.0" else name  # noqa: S104 - a server's bind address; a client calls loopback
    name = f"[{name}]" if ":" in name else name
    return f"{scheme or 'http'}://{name}:{parts.port or standard}{parts.path}"


def _version(url: str) -> str | None:
    """The version that a server at `url` tells, or none where no Ollama answers."""
    try:
        with urllib.request.urlopen(f"{url}/api/version", timeout=_ANSWER_S) as answer:  # noqa: S310 - from OLLAMA_HOST
            version = json.load(answer)["version"]
    except (OSError, ValueError, KeyError, TypeError, urllib.error.URLError):
        return None
    return str(version)
