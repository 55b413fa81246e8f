"""Codex: `adapter` configures and starts it, and `stream` reads its output."""

from backends.codex.adapter import BACKEND

__all__ = ["BACKEND"]
