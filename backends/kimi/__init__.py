"""Kimi Code: `adapter` configures and starts it, and `stream` reads its output."""

from backends.kimi.adapter import BACKEND

__all__ = ["BACKEND"]
