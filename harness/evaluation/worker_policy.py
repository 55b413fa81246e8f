"""Loads the program of a submission and calls it, inside its sandbox. `policy_worker.py` serves it from there.

This file needs only the standard library.
"""

from __future__ import annotations

import sys
from typing import Any


class Program:
    """The submission's program, with one method for each request about it."""

    def __init__(self, folder: str, action_space: Any, observation_space: Any) -> None:
        self._folder = folder
        self._arguments = (action_space, observation_space)
        self._approach: Any = None

    def load(self, _request: dict[str, Any]) -> None:
        """Import the submission and make its `GeneratedApproach`."""
        sys.path.insert(0, self._folder)
        module = __import__("approach")
        self._approach = module.GeneratedApproach(*self._arguments, primitives=None)

    def reset(self, request: dict[str, Any]) -> None:
        """Begin an episode."""
        self._approach.reset(request["observation"], request["info"])

    def act(self, request: dict[str, Any]) -> Any:
        """Return the action for an observation."""
        return self._approach.get_action(request["observation"])
