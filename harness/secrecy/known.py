"""The secrets of this host."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from harness.case import ProviderConf
from harness.endings import ConfError
from harness.logins import login_secrets
from harness.seed_key import private_key

_OF_AWS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def host_secrets(providers: Iterable[ProviderConf]) -> dict[str, str]:
    """Return the secrets of this host by names for people: the keys and logins of providers, and the private seed.

    What is not set is left out, and so is a private seed that is not usable.
    """
    found: dict[str, str] = {}
    variables = set[str]()
    for provider in providers:
        variables |= {provider.key_variable} if provider.key_variable else set()
        if provider.signing is not None:
            variables |= set(_OF_AWS) if provider.signing.kind == "aws" else set()
            found |= login_secrets(provider.signing.subscription) if provider.signing.subscription else {}
    found |= {f"the key in {name}": os.environ.get(name, "").strip() for name in sorted(variables)}
    with suppress(ConfError):  # a case that needs this seed says what is wrong with it
        private = private_key()
        if private is not None:
            found["the private seed"] = private.reveal()
    return {name: secret for name, secret in found.items() if secret}
