"""Takes a shell's command line apart: what it was told to run."""

from __future__ import annotations

import json
import re
import shlex

_SHELL = re.compile(r"[\w/.-]*sh -l?c (?:'([^']*)'\Z)?")
"""A shell, and what it was told to run if that is one word in single quotes, as nearly always."""
_PLAIN = re.compile(r"[^\s'\"\\]+")
_read_json = json.JSONDecoder(strict=False).raw_decode


def inner_command(command: str) -> str:
    """The last argument of a shell's command line (`/bin/sh -c '…'`); of any other command line the whole.

    As `shlex.split` reads it, but some hundred times as fast where it is quoted as Codex does: in single quotes, in
    double quotes with a backslash before `"` and `\\` alone, in none, or in parts of these kinds.
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
    """The word that begins at `start` and ends with the text, unquoted. `ValueError` if it is quoted otherwise."""
    parts: list[str] = []
    while start < len(text) or not parts:
        if text.startswith("'", start):
            end = text.index("'", start + 1) + 1
            part = text[start + 1 : end - 1]
        elif text.startswith('"', start):  # a JSON string has these two escapes, and is read in no loop of Python's
            part, end = _read_json(text, start)
            if end - start - 2 - len(part) != part.count('"') + part.count("\\"):
                raise ValueError("an escape that a shell reads otherwise")
        elif plain := _PLAIN.match(text, start):
            part, end = plain[0], plain.end()
        else:
            raise ValueError("a blank, a backslash or nothing")
        parts.append(part)
        start = end
    return "".join(parts)


def _split(command: str) -> str:
    try:
        shell, option, inner = shlex.split(command)
    except ValueError:
        return command
    return inner if shell.endswith("sh") and option in {"-c", "-lc"} else command
