"""Whether this machine can translate. Reading this module is cheap, because it does not load litellm."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

EXTRA: Final = "translate"
"""The name of the extra that translation needs."""


def can_translate() -> bool:
    """Return whether the extra is installed."""
    return find_spec("litellm") is not None
