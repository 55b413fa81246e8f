"""How the gateway shows a service who asks, where a fixed key does not do."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Subscription = Literal["claude", "chatgpt"]
"""Whose subscription pays for the requests: the user's at Anthropic (Claude Code), or at OpenAI (Codex)."""


class SigningConf(Struct, frozen=True, forbid_unknown_fields=True):
    """The key `signing` of a provider.

    `kind` is `aws`, `google`, or a subscription. `aws` signs each request (Signature Version 4) for this `service` and
    `region`, unless `key_variable` holds a key. `google` sends an access token of the application default credentials.
    A subscription sends the token of the login that its CLI keeps on this host. `token_url` is the address where such
    a token is renewed.
    """

    kind: Literal["aws", "google", Subscription]
    service: str | None = None
    region: str | None = None
    token_url: str | None = None

    @property
    def subscription(self) -> Subscription | None:
        """The subscription that pays, or `None` if each request is billed."""
        match kind := self.kind:
            case "claude" | "chatgpt":
                return kind
            case _:
                return None
