"""The user's cache: what Proctor installs there is shared by every checkout and environment."""

from __future__ import annotations

import os
from pathlib import Path


class NoHomeError(Exception):
    """The user has no home. The message says what to set."""


def user_cache() -> Path:
    """Return Proctor's folder in the user's cache. It may not exist yet. Raise `NoHomeError` for a user without a home.

    A relative XDG_CACHE_HOME is ignored, as the XDG specification asks.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():
        return given / "proctor"
    try:
        return Path.home() / ".cache" / "proctor"
    except RuntimeError:
        raise NoHomeError("this user has no home to install into: set HOME or XDG_CACHE_HOME") from None
