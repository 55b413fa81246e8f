"""The options of one kind of sandbox: `options` in `conf/sandbox/NAME.yaml`."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from backends.options import read_options
from harness.case import SandboxConf
from harness.endings import ConfError

S = TypeVar("S", bound=Struct)


class NoOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a kind without options."""


def options_of(kind: type[S], conf: SandboxConf) -> S:
    """Return `conf.options` as the struct `kind`. Raise `ConfError` with file, key and choices if they are wrong."""
    where = f"conf/sandbox/{conf.name}.yaml: sandbox.options"
    if conf.options and not kind.__struct_fields__:
        raise ConfError(f"{where}: a sandbox of kind {conf.kind} has no options")
    try:
        return read_options(kind, conf.options)
    except ValueError as error:
        raise ConfError(f"{where}: {error}") from None
