"""Writes a session as Kilo Code does. It is a fork of OpenCode, and writes the same lines."""

from __future__ import annotations

from tests.corpus.opencode.grammar import SHOWS, arguments, as_shown, lines

__all__ = ["SHOWS", "arguments", "as_shown", "lines"]
