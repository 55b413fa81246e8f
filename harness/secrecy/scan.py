"""Finds secrets in what a session leaves: those of this host, and keys in the forms of well-known services."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

from harness.secrecy.spellings import places, spellings

PIECE: Final = 1 << 20
"""How many bytes are looked at together."""
_OVERLAP: Final = 8192
"""How many bytes of a piece are looked at again with the next one. Every secret, however written, is shorter."""


class _KeyForm:
    """The form of a service's keys: how they begin, and what follows. It is too long for a placeholder to have it."""

    def __init__(self, what: str, beginnings: str, rest: str) -> None:
        self.what = what
        self._beginnings = tuple(one.encode() for one in beginnings.split())
        self._rest = re.compile(rest.encode())

    def is_in(self, data: bytes) -> bool:
        """Return whether the data holds such a key."""
        return any(
            self._rest.match(data, at + len(beginning)) is not None and not _goes_on(data, at)
            for beginning in self._beginnings
            for at in places(beginning, data)
        )


def _goes_on(data: bytes, at: int) -> bool:
    """Return whether a word that began before this place goes on here."""
    return at > 0 and chr(data[at - 1]).isalnum() and data[at - 1] < 128 and data[at - 2 : at] not in _LINE_BREAKS


_LINE_BREAKS: Final = (rb"\n", rb"\t", rb"\r")
"""White space as JSON writes it."""

_FORMS: Final = (
    _KeyForm("an Anthropic key", "sk-ant-", r"[a-z]+[0-9]{2}-[\w-]{80,}"),
    _KeyForm("an OpenRouter key", "sk-or-v1-", r"[0-9a-f]{64}"),
    _KeyForm("an OpenAI key", "sk-proj- sk-svcacct- sk-admin-", r"[\w-]{40,}"),
    _KeyForm("an OpenAI key", "sk-", r"[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"),
    _KeyForm("a Google key", "AIza", r"[\w-]{35}"),
    _KeyForm("a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{36}"),
    _KeyForm("a GitHub token", "github_pat_", r"[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _KeyForm("a GitLab token", "glpat-", r"[\w-]{20}"),
    _KeyForm("a Hugging Face token", "hf_", r"[A-Za-z]{34}"),
    _KeyForm("an AWS key", "AKIA ASIA", r"[A-Z2-7]{16}(?![A-Za-z0-9])"),
    _KeyForm("a Groq key", "gsk_", r"[A-Za-z0-9]{52}"),
    _KeyForm("an xAI key", "xai-", r"[A-Za-z0-9]{80}"),
    _KeyForm("a private key", "-----BEGIN", r" (?:[A-Z]+ )?PRIVATE KEY-----(?:\s|\\n)*[A-Za-z0-9+/=]{60,}"),
)


class Readable(Protocol):
    """What `scan` reads: an open binary file, for example."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size`. Return none at the end."""


def scan(stream: Readable, secrets: Mapping[str, str]) -> list[str]:
    """Return what is found in a stream, in words that name no secret. An empty list: nothing.

    `secrets` are the secrets to look for, by their names for people. Each is also found in base64, in hexadecimal and
    with escapes (`harness.secrecy.spellings`).
    """
    found: dict[str, None] = {}
    rest = b""
    while piece := stream.read(PIECE):
        data = rest + piece
        found |= dict.fromkeys(_found(data, secrets))
        rest = data[-_OVERLAP:]
    return list(found)


def _found(data: bytes, secrets: Mapping[str, str]) -> list[str]:
    own = [
        name
        for name, secret in secrets.items()
        if any(not place.cut for way in spellings(secret) for place in way.find(data))
    ]
    return own + [form.what for form in _FORMS if form.is_in(data)]
