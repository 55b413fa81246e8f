"""Gemini CLI: `adapter` configures and starts it, and `stream` reads its output."""

from backends.gemini.adapter import BACKEND

__all__ = ["BACKEND"]
