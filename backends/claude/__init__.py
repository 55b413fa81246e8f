"""Claude Code: `adapter` configures and starts it, and `stream` reads its output."""

from backends.claude.adapter import BACKEND

__all__ = ["BACKEND"]
