"""Finds the source of an environment's packages, in the environment's own process, where they are installed.

This file needs only the standard library.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.machinery import PathFinder

from harness.environments.base import Environment


def folders_of(_environment: Environment, _descriptors: Sequence[int], modules: list[str]) -> dict[str, str]:
    """Return the folder of each top-level package, by its name. One that is missing or a single file is left out."""
    found = {}
    for name in modules:
        spec = PathFinder.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            found[name] = str(next(iter(spec.submodule_search_locations)))
    return found
