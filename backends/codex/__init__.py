"""Codex: `adapter` calls and configures it, `stream` reads its output."""

from backends.codex.adapter import BACKEND

__all__ = ["BACKEND"]
