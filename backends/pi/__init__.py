"""Pi: `adapter` configures and starts it, and `stream` reads its output."""

from backends.pi.adapter import BACKEND

__all__ = ["BACKEND"]
