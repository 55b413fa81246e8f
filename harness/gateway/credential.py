"""The key of a provider. It is read on the host, is sent to the provider, and appears nowhere else.

Some services quote the key that they receive: in an error, in a redirect, in what they print for debugging. So it is
taken out of every answer, however it is written there.
"""

from __future__ import annotations

import os
from typing import Self

from harness.case import ProviderConf
from harness.secrecy.hiding import Hider, hide
from harness.secrecy.spellings import spellings


class CredentialMissing(Exception):
    """The host has no usable key for a provider. The message names the environment variable."""


class Credential:
    """A key, and the header that carries it. Without a key, it sends nothing and hides nothing."""

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

    def hide(self, text: bytes) -> bytes:
        """Return a whole text without the key."""
        return hide(text, spellings(self._key)) if self._key else text

    def hider(self) -> Hider:
        """Return what takes the key out of a text that comes in pieces."""
        return Hider(spellings(self._key) if self._key else ())
