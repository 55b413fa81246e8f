"""mini-swe-agent: `adapter` configures and starts it, `program` runs it, and `stream` reads its trajectory."""

from backends.mini.adapter import BACKEND

__all__ = ["BACKEND"]
