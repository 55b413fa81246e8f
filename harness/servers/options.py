"""The options of a kind of server. Two files may set them."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from backends.options import read_options
from harness.case import ModelConf, ProviderConf
from harness.endings import ConfError

S = TypeVar("S", bound=Struct)


def options_of(kind: type[S], model: ModelConf, provider: ProviderConf) -> S:
    """Return `provider.options`, overridden by `model.server`, as the struct `kind`. Raise `ConfError`."""
    try:
        return read_options(kind, {**provider.options, **model.server})
    except ValueError as error:
        files = f"conf/model/{model.name}.yaml: server, or conf/provider/{provider.name}.yaml: options"
        raise ConfError(f"{files}: {error}") from None
