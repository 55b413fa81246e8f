"""Primitives that need the environment, in the environment's own process. An adapter has them as methods.

The environment is a private one: its state may be changed at will, and nobody plays it. This file needs only the
standard library and NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from harness.environments.base import Environment, InvalidAction, Plain
from harness.environments.scrubbing import scrubbed

METHODS: Final = ("check_action_collision", "inverse_kinematics")
"""The methods that an adapter may have."""


def offered(environment: Environment, _descriptors: Sequence[int] = ()) -> list[str]:
    """Return the names of the primitives that an environment has."""
    return [name for name in METHODS if _method(environment, name) is not None]


def call_primitive(
    environment: Environment, _descriptors: Sequence[int], name: str, arguments: list[Plain]
) -> dict[str, Plain]:
    """Call a primitive. Return `{"done": …}`, or `{"error": TEXT}` if the caller has made a mistake."""
    method = _method(environment, name) if name in METHODS else None
    if method is None:
        return {"error": f"the environment has no primitive {name!r:.80}"}
    try:
        return {"done": method(*arguments)}
    except (ValueError, InvalidAction) as error:
        return {"error": f"{name}: {scrubbed(str(error))}"}
    except TypeError:
        return {"error": f"{name}: it takes other arguments than these {len(arguments)}"}


def _method(environment: Any, name: str) -> Callable[..., Plain] | None:
    inner = getattr(environment, "judged", environment)
    found = getattr(inner, name, None)
    return found if callable(found) else None
