"""Claude Code: `adapter` calls and configures it, `stream` reads its output."""

from backends.claude.adapter import BACKEND

__all__ = ["BACKEND"]
