"""Splits a shell's command line to find what the shell runs."""

from __future__ import annotations

import json
import re
import shlex

_SHELL = re.compile(r"[\w/.-]*sh -l?c (?:'([^']*)'\Z)?")
"""A shell and its command, if the command is one word in single quotes. It nearly always is."""
_PLAIN = re.compile(r"[^\s'\"\\]+")
_read_json = json.JSONDecoder(strict=False).raw_decode


def inner_command(command: str) -> str:
    """Return the last argument of a shell's command line (`/bin/sh -c '…'`). Return any other command line whole.

    The result is the same as with `shlex.split`, but a hundred times as fast where Codex did the quoting: in single
    quotes, in double quotes with a backslash only before `"` and `\\`, without quotes, or in parts of these kinds.
    """
    shell = _SHELL.match(command)
    if shell is None:
        return _split(command)
    quoted: str | None = shell[1]
    try:
        return _word(command, shell.end()) if quoted is None else quoted
    except ValueError:
        return _split(command)


def _word(text: str, start: int) -> str:
    """Return the word from `start` to the end of the text, unquoted. Raise `ValueError` for any other quoting."""
    parts: list[str] = []
    while start < len(text) or not parts:
        if text.startswith("'", start):
            end = text.index("'", start + 1) + 1
            part = text[start + 1 : end - 1]
        elif text.startswith('"', start):  # a JSON string has these two escapes, and needs no loop in Python
            part, end = _read_json(text, start)
            if end - start - 2 - len(part) != part.count('"') + part.count("\\"):
                raise ValueError("an escape that a shell reads differently")
        elif plain := _PLAIN.match(text, start):
            part, end = plain[0], plain.end()
        else:
            raise ValueError("a space, a backslash or nothing")
        parts.append(part)
        start = end
    return "".join(parts)


def _split(command: str) -> str:
    try:
        shell, option, inner = shlex.split(command)
    except ValueError:
        return command
    return inner if shell.endswith("sh") and option in {"-c", "-lc"} else command
