"""Qwen Code: `adapter` configures and starts it, and `stream` reads its output."""

from backends.qwen.adapter import BACKEND

__all__ = ["BACKEND"]
