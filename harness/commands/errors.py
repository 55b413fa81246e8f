"""How a command fails: with a message for the user, never with a traceback."""

from __future__ import annotations


class BadInput(Exception):
    """What the user gave cannot be used. `proctor` prints the message with the command's usage and exits with 2."""


class SetupFailed(Exception):
    """Something that Proctor needs could not be installed; the message says what to do. The exit status is 1."""
