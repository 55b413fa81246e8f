"""The errors of the commands. Each becomes a message for the user, not a traceback."""

from __future__ import annotations


class BadInput(Exception):
    """An argument cannot be used. `proctor` prints the message and the command's usage, and exits with 2."""


class SetupFailed(Exception):
    """A step of `proctor setup` failed. The message says what to do; the exit status is 1."""
