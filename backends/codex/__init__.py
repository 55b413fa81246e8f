"""Codex: `adapter` calls and configures it, `stream` reads what it says."""

from backends.codex.adapter import BACKEND

__all__ = ["BACKEND"]
