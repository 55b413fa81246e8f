"""Draws each action at random from the action space. An episode's first observation is the seed of its actions."""

from typing import Any
from zlib import crc32


class GeneratedApproach:
    """Acts at random, and in the same way whenever an episode begins with the same observation."""

    def __init__(self, action_space: Any, observation_space: Any, primitives: Any = None) -> None:
        self.actions = action_space

    def reset(self, state: Any, info: Any) -> None:
        """Begin the sequence of actions that belongs to this first observation."""
        self.actions.seed(crc32(repr(state).encode()))

    def get_action(self, state: Any) -> Any:
        """Return the next action."""
        return self.actions.sample()
