"""Makes text from agents, providers and other programs safe for terminals, reports and files.

Such text may hold terminal escapes, marks that reverse the direction of writing, and lone surrogates, which cannot be
encoded. Use `visible` where a text is about to be shown, and `visible_struct` for a record that is about to be written.
"""

from __future__ import annotations

import unicodedata
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

S = TypeVar("S", bound=Struct)


def visible(text: str) -> str:
    r"""Return the text with every character that a terminal would not show written as an escape, such as `\u001b`.

    Line ends, tabs and all kinds of spaces stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _shows(character) else _escape(character) for character in text)


def visible_struct(struct: S) -> S:
    """Return the struct with `visible` applied to every text in it, the keys of dictionaries included."""
    return msgspec.convert(_visible_parts(msgspec.to_builtins(struct)), type(struct))


def _visible_parts(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {_visible_parts(key): _visible_parts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_visible_parts(item) for item in value]
    return value


def _shows(character: str) -> bool:
    return character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
