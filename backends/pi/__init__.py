"""Pi: `adapter` calls and configures it, `stream` reads its output."""

from backends.pi.adapter import BACKEND

__all__ = ["BACKEND"]
