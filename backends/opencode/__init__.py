"""OpenCode: `adapter` configures and starts it, and `stream` reads its output."""

from backends.opencode.adapter import BACKEND

__all__ = ["BACKEND"]
