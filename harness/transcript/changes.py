"""Reads which files a tool call changes from its arguments. The names of tools and arguments are those of the CLIs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.transcript.turns import FileChange

_PATH = ("file_path", "filePath", "path", "absolute_path", "notebook_path")
_AFTER = ("content", "file_text", "new_source")
_OLD = ("old_string", "oldString", "oldText", "old_str")
_NEW = ("new_string", "newString", "newText", "new_str")
_PATCH = ("patch", "patchText", "diff", "input")
_READERS = ("read", "grep", "glob", "ls", "find", "list")
"""How the names of tools begin that have a path and change nothing."""


def file_changes(name: str, arguments: Any) -> tuple[FileChange, ...]:
    """Return the changes that a call of the tool `name` asks for. It never raises.

    A shell command may change files, too. That does not show in its arguments.
    """
    if not isinstance(arguments, dict) or name.lower().startswith(_READERS):
        return ()
    return tuple(_changes(arguments))


def _changes(arguments: dict[str, Any]) -> Iterator[FileChange]:
    path = _text(arguments, _PATH)
    if path is None:
        yield from _patches(arguments)
        return
    edits = arguments.get("edits")
    listed = [edit for edit in edits if isinstance(edit, dict)] if isinstance(edits, list) else [arguments]
    for edit in listed:
        before, after = _text(edit, _OLD), _text(edit, _NEW)
        if after is not None:
            yield FileChange(path=path, before=before, after=after)
    whole = _text(arguments, _AFTER)
    if whole is not None:
        yield FileChange(path=path, after=whole)


def _patches(arguments: dict[str, Any]) -> Iterator[FileChange]:
    """Return the changes of a tool that applies a patch. Codex lists the paths alone."""
    changes = arguments.get("changes")
    for change in changes if isinstance(changes, list) else []:
        if isinstance(change, dict) and (path := _text(change, _PATH)) is not None:
            yield FileChange(path=path, patch=_text(change, _PATCH))
    patch = _text(arguments, _PATCH)
    if patch is not None and "*** " in patch:
        yield FileChange(path="", patch=patch)


def _text(arguments: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((text for name in names if isinstance(text := arguments.get(name), str)), None)
