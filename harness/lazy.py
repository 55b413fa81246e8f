"""Modules that are imported on first use, so that pytest starts without the modules that only cases need."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from types import ModuleType
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
        return getattr(_imported(self._name), attribute)


def _imported(name: str) -> ModuleType:
    """Return a module. While it is imported for the first time, no garbage is collected.

    An import makes hundreds of thousands of objects that stay. To look through them over and over takes a sixth of the
    time of an import. They are frozen afterwards, so that later collections pass over them.
    """
    if name in sys.modules or not gc.isenabled():
        return import_module(name)
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()
