"""Which backends `make test` plays real sessions with. The nightly job and the contract play with all."""

from __future__ import annotations

import pytest

from backends.registry import names

PLAYED = ("claude", "codex", "opencode", "pi")


def each(*chosen: str) -> list[object]:
    """Return a parameter for each backend in `chosen`, or for all. One that `make test` does not play is nightly."""
    return [pytest.param(name, marks=() if name in PLAYED else pytest.mark.nightly) for name in chosen or names()]
