"""The secrets of this host."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from harness.endings import ConfError
from harness.seed_key import private_key


def host_secrets(variables: Iterable[str | None]) -> dict[str, str]:
    """Return the secrets of this host by names for people: keys in these variables, and the private seed.

    What is not set is left out, and so is a private seed that is not usable.
    """
    names = sorted(name for name in set(variables) if name is not None)
    found = {f"the key in {name}": os.environ.get(name, "").strip() for name in names}
    with suppress(ConfError):  # a case that needs this seed says what is wrong with it
        private = private_key()
        if private is not None:
            found["the private seed"] = private.reveal()
    return {name: secret for name, secret in found.items() if secret}
