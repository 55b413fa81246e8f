"""Claude Code: `adapter` calls and configures it, `stream` reads what it says."""

from backends.claude.adapter import BACKEND

__all__ = ["BACKEND"]
