"""Checks the arguments of an environment against the constructor of its adapter. Needs only the standard library."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple


class Described(NamedTuple):
    """What an environment is made from: a part of `harness.environment_conf.EnvironmentConf`."""

    name: str
    kind: str
    arguments: Mapping[str, Any]
    max_steps: int
    solved_when: str


def check_arguments(conf: Described, signature: inspect.Signature) -> None:
    """Raise `ValueError` if an adapter with this constructor does not take the arguments."""
    takes = [key for key in signature.parameters if key != "max_steps"]
    where, accepted = (
        f"environment {conf.name}: arguments",
        f"the kind {conf.kind} takes: {', '.join(takes) or 'nothing'}",
    )
    if not any(p.name == "max_steps" or p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        raise ValueError(
            f"environment {conf.name}: kind {conf.kind}: this class is not an adapter: it does not take max_steps"
        )
    if "max_steps" in conf.arguments:
        raise ValueError(f"{where}.max_steps: write max_steps beside `arguments`, not inside")
    if not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        for key in conf.arguments:
            if key not in takes:
                raise ValueError(f"{where}.{key}: there is no such argument; {accepted}")
    try:
        signature.bind(max_steps=conf.max_steps, **conf.arguments)
    except TypeError as error:
        raise ValueError(f"{where}: {error}; {accepted}") from error
