"""Modules that are imported on first use, so that pytest starts without the modules that only cases need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a module by its name, and imports it when one of its public names is first used.

    `importlib.util.LazyLoader` does not work here: it loads the module as soon as pytest checks whether it is a
    fixture.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """Return the attribute of the module."""
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)
