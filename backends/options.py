"""Reads the options of a configuration file into the struct that declares them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

T = TypeVar("T", bound=Struct)


class BackendOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options that every backend has beside its own.

    `executable` is the path of the CLI to use, from the root or from the user's home (`~/…`). `None`: the CLI that the
    adapter's `installation` names.
    """

    executable: Annotated[str, Meta(min_length=1)] | None = None


def backend_options(kind: type[T], options: Mapping[str, Any]) -> tuple[BackendOptions, T]:
    """Return the options that every backend has, and the backend's own as a `kind`.

    Raise `ValueError` if one is wrong. The message lists the options that exist.
    """
    shared = {name: value for name, value in options.items() if name in BackendOptions.__struct_fields__}
    own = {name: value for name, value in options.items() if name not in shared}
    return _converted(BackendOptions, shared, kind, BackendOptions), _converted(kind, own, kind, BackendOptions)


def read_options(kind: type[T], options: Mapping[str, Any]) -> T:
    """Return the options as a `kind`. Raise `ValueError` if one is wrong; the message lists the options that exist."""
    return _converted(kind, options, kind)


def _converted(kind: type[T], options: Mapping[str, Any], *known: type[Struct]) -> T:
    try:
        return msgspec.convert(dict(options), kind)
    except msgspec.ValidationError as error:
        names = ", ".join(field.name for one in known for field in msgspec.structs.fields(one))
        raise ValueError(f"{in_plain_words(error)}; the options are: {names}") from None


def in_plain_words(error: Exception) -> str:
    """Return the error's text with the words that the documentation of the configuration has for JSON's types."""
    words = {"array": "list", "object": "mapping", "str": "text"}

    def reworded(quoted: re.Match[str]) -> str:
        return re.sub(r"\b(array|object|str)\b", lambda word: words[word[0]], quoted[0])

    return re.sub(r"(?<=Expected )`[^`]*`|(?<=got )`[^`]*`", reworded, str(error))
