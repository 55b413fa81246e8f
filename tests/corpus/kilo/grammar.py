"""Writes a session as Kilo Code does: as OpenCode, of which it is a fork."""

from __future__ import annotations

from tests.corpus.opencode.grammar import SHOWS, arguments, as_shown, lines

__all__ = ["SHOWS", "arguments", "as_shown", "lines"]
