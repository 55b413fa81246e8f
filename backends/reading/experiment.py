"""Separates experiments (tool calls with which the agent tries out its program) from other tool calls."""

from __future__ import annotations

from typing import Any

RENDER_TOOLS = ("render_state", "render_policy")
"""How the names of the render tools end. CLIs put the server's name in front."""
_READ_CAP = 8192
_PROGRAMS = {"python", "ipython", "pytest"}
_BEFORE_PROGRAM = (
    {"timeout", "time", "env", "nohup", "exec", "nice", "uv", "poetry", "run", "bash", "sh"}  # wrappers
    | {"if", "then", "else", "do", "while", "until", "!", "{"}  # keywords
)
_BEFORE_PROGRAM_FIRST = frozenset("-0123456789")
"""The first characters of other words that may come before a program in a shell command: options and numbers."""


def shell_command(arguments: Any) -> str:
    """Return the beginning of the shell command in a tool call's arguments, or "" if there is none."""
    if not isinstance(arguments, dict):
        return ""
    command = arguments.get("command") or arguments.get("cmd")
    if isinstance(command, list):
        command = " ".join(part for part in command if isinstance(part, str))
    return command[:_READ_CAP] if isinstance(command, str) else ""


def is_experiment(name: str, command: str) -> bool:
    """Return whether a call of the tool `name` with this shell command (or "") ran Python or rendered the environment.

    It looks only at the text of the command. It misses Python that another program starts (`make`, a shell script).
    """
    if name.endswith(RENDER_TOOLS):
        return True
    if not ("python" in command or "pytest" in command or ".py" in command):
        return False
    for end in ";|()`\n":
        command = command.replace(end, "&")
    return any("py" in part and _starts_python(part) for part in command.split("&"))


def _starts_python(command: str) -> bool:
    for quoted in command.split():
        word = quoted.strip("'\"")
        if "py" in word:
            program = word.rpartition("/")[2]
            if program.endswith(".py") or program.rstrip("0123456789.") in _PROGRAMS:
                return True
        if not (word in _BEFORE_PROGRAM or word[:1] in _BEFORE_PROGRAM_FIRST or "=" in word):
            return False
    return False
