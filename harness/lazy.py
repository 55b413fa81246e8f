"""Modules that are loaded when first used: starting pytest must not pay for what only a case needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for the module of that name, which is imported when a public name of it is first asked for.

    (`importlib.util.LazyLoader` would load it as soon as pytest looks whether it is a fixture.)
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """The module's own attribute."""
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)
