"""The key of a provider. It is read on the host, is sent to the provider, and appears nowhere else.

Some services quote the key that they receive: in an error, in a redirect, in what they print for debugging. So it is
taken out of every answer, however it is written there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Self

from msgspec import Struct

from harness.case import ProviderConf
from harness.secrecy.hiding import Hider, hide
from harness.secrecy.spellings import Spelling, spellings


class CredentialMissing(Exception):
    """The host has no usable key for a provider. The message names the environment variable."""


class Unsigned(Struct, frozen=True):
    """A request to a provider, before it carries anything that says who asks. Its headers have lower-case names."""

    url: str
    headers: dict[str, str]
    body: bytes


class Credential:
    """A key, and the header that carries it. Without a key, it sends nothing and hides nothing.

    A subclass shows in another way who asks.
    """

    def __init__(self, key: str | None = None, header: str = "authorization") -> None:
        self._key = key
        self._header = header

    @classmethod
    def of(cls, provider: ProviderConf) -> Self:
        """Return the credential of a provider. Raise `CredentialMissing` if it needs a key that is not set."""
        if provider.key_variable is None:
            return cls()
        key = os.environ.get(provider.key_variable, "").strip()
        if not key:
            raise CredentialMissing(f"no key for provider {provider.name}: set {provider.key_variable}")
        if not (key.isascii() and key.isprintable()):
            raise CredentialMissing(
                f"no usable key for provider {provider.name}: {provider.key_variable} holds a line break, a control "
                f"character or a character outside ASCII"
            )
        return cls(key, provider.key_header)

    def __repr__(self) -> str:
        """Return a text without the key, because tracebacks show values."""
        return f"<Credential in {self._header}>"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that a request to the provider carries."""
        if self._key is None:
            return {}
        return {self._header: f"Bearer {self._key}" if self._header.lower() == "authorization" else self._key}

    async def signed(self, request: Unsigned) -> Mapping[str, str]:  # noqa: ARG002 - a subclass signs the request
        """Return the headers that show who sends a request. Raise `AnswerError` if there are none."""
        return self.headers

    async def renewed(self, sent: Mapping[str, str]) -> bool:  # noqa: ARG002 - a subclass compares it
        """Return whether a request that the service refused with 401 is worth a second try.

        `sent` are the headers that it was signed with. Raise `AnswerError` if the key cannot be renewed.
        """
        return False

    def secrets(self) -> tuple[str, ...]:
        """Return what no answer may quote."""
        return (self._key,) if self._key else ()

    def hide(self, text: bytes) -> bytes:
        """Return a whole text without the key."""
        return hide(text, self._spellings())

    def hider(self) -> Hider:
        """Return what takes the key out of a text that comes in pieces."""
        return Hider(self._spellings())

    def _spellings(self) -> tuple[Spelling, ...]:
        return tuple(way for secret in self.secrets() for way in spellings(secret))
