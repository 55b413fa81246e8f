"""Pi: `adapter` calls and configures it, `stream` reads what it says."""

from backends.pi.adapter import BACKEND

__all__ = ["BACKEND"]
