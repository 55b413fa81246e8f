"""Reads the options of a configuration file into the struct that declares them."""

from __future__ import annotations

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
        raise ValueError(f"{error}; the options are: {names}") from None
