"""Makes the primitives that a program is given, inside its sandbox. `policy_worker.py` uses it there.

This file needs only the standard library, so that it can be imported in the sandbox.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any


class PrimitiveError(Exception):
    """A primitive cannot do what it was asked to do. The message says why."""


def build_primitives(request: Any, ask: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any] | None:
    """Return the primitives by name, or `None` if the program is given none.

    `request` is what `Granted.request` returned. `ask` sends a question to the environment, and returns its answer.
    """
    if request is None:
        return None
    built: dict[str, Any] = {}
    for name, (file, attribute) in request["modules"].items():
        module = _module(f"_primitive_{name}", file)
        built[name] = module if attribute is None else getattr(module, attribute)
    return built | {name: _asked(name, ask) for name in request["asked"]}


def _asked(name: str, ask: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[..., Any]:
    """Return a function that asks the environment."""

    def primitive(*arguments: Any) -> Any:
        answer = ask({"primitive": name, "with": [_sendable(argument) for argument in arguments]})
        if "error" in answer:
            raise PrimitiveError(answer["error"])
        return answer["done"]

    primitive.__name__ = primitive.__qualname__ = name
    return primitive


def _sendable(argument: Any) -> Any:
    """Return the plain form of an object-centric state (see `object_centric.py`), and anything else as it is."""
    data = getattr(argument, "data", None)
    if not isinstance(data, dict) or not hasattr(argument, "type_features"):
        return argument
    return {
        "objects": [[thing.name, thing.type.name] for thing in data],
        "values": [float(value) for row in data.values() for value in row],
    }


def _module(name: str, file: str) -> Any:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is not a Python file")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)  # dataclasses look there
        spec.loader.exec_module(module)
    return sys.modules[name]
