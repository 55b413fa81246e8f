"""Cline: `adapter` configures and starts it, and `stream` reads its output."""

from backends.cline.adapter import BACKEND

__all__ = ["BACKEND"]
