"""OpenCode: `adapter` calls and configures it, `stream` reads its output."""

from backends.opencode.adapter import BACKEND

__all__ = ["BACKEND"]
