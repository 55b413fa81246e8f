"""OpenCode: `adapter` calls and configures it, `stream` reads what it says."""

from backends.opencode.adapter import BACKEND

__all__ = ["BACKEND"]
