"""Checks the arguments of an environment against the constructor of its adapter. Needs only the standard library."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class DesignCounts(NamedTuple):
    """What an environment's own process is told of `harness.environment_conf.Counts`: not which ones are held out."""

    argument: str
    design: Sequence[int]
    steps_per_object: int

    def of_seed(self, seed: int) -> int:
        """Return the number of objects of the episode that the agent's tools show for a seed."""
        return self.design[seed % len(self.design)]


class Described(NamedTuple):
    """What an environment is made from: a part of `harness.environment_conf.EnvironmentConf`."""

    name: str
    kind: str
    arguments: Mapping[str, Any]
    max_steps: int
    solved_when: str
    counts: DesignCounts | None = None

    def arguments_at(self, count: int | None) -> dict[str, Any]:
        """Return the adapter's arguments for a number of objects."""
        return dict(self.arguments) | ({} if self.counts is None else {self.counts.argument: count})


def check_arguments(conf: Described, signature: inspect.Signature) -> None:
    """Raise `ValueError` if an adapter with this constructor does not take the arguments."""
    if conf.counts is not None and conf.counts.argument in conf.arguments:
        raise ValueError(
            f"environment {conf.name}: counts.argument: {conf.counts.argument} is also in `arguments`, and it can have "
            "one value only: leave it out there"
        )
    arguments = conf.arguments_at(None)
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
        for key in arguments:
            if key not in takes:
                counted = conf.counts is not None and key == conf.counts.argument
                named = f"environment {conf.name}: counts.argument: {key}" if counted else f"{where}.{key}"
                raise ValueError(f"{named}: there is no such argument; {accepted}")
    try:
        signature.bind(max_steps=conf.max_steps, **arguments)
    except TypeError as error:
        raise ValueError(f"{where}: {error}; {accepted}") from error
