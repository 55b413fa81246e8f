"""Kilo Code: `adapter` configures and starts it."""

from backends.kilo.adapter import BACKEND

__all__ = ["BACKEND"]
