"""GitHub Copilot CLI: `adapter` configures and starts it, and `stream` reads its output."""

from backends.copilot.adapter import BACKEND

__all__ = ["BACKEND"]
