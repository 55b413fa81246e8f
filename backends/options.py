"""Reads the options of a configuration file into the struct that declares them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T", bound=Struct)


def read_options(kind: type[T], options: Mapping[str, Any]) -> T:
    """Return the options as a `kind`. Raise `ValueError` if one is wrong; the message lists the options that exist."""
    try:
        return msgspec.convert(dict(options), kind)
    except msgspec.ValidationError as error:
        names = ", ".join(field.name for field in msgspec.structs.fields(kind))
        raise ValueError(f"{in_plain_words(error)}; the options are: {names}") from None


def in_plain_words(error: Exception) -> str:
    """Return the error's text with the words that the documentation of the configuration has for JSON's types."""
    words = {"array": "list", "object": "mapping", "str": "text"}

    def reworded(quoted: re.Match[str]) -> str:
        return re.sub(r"\b(array|object|str)\b", lambda word: words[word[0]], quoted[0])

    return re.sub(r"(?<=Expected )`[^`]*`|(?<=got )`[^`]*`", reworded, str(error))
