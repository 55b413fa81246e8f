"""Looks at an environment for its fingerprint, in the environment's own process.

This file needs only the standard library, NumPy, and what the adapter imports.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from harness.environments.base import PUBLIC_SEEDS, Environment, InvalidAction, Plain
from harness.environments.exploring import NoAction, fixed_action
from harness.environments.judged import JudgedEnvironment

SEEDS = PUBLIC_SEEDS[:10]
"""The seeds whose first observations are looked at."""

PLAYED = SEEDS[:3]
"""The seeds from which actions are tried."""

STEPS = 8
"""How many actions are tried from each of these."""

_DIGITS = 4
_SMALLEST = 1e-6
_OFF_ROUND = 0.6931471805599453
"""A factor that moves round numbers, such as 0.15625, away from the middle between two rounded ones."""


Seen = tuple[str | None, str | None]
"""The digest of something that was looked at, or why there is none."""


def look(environment: Environment) -> Seen:
    """Return the digest of what an environment shows, or why there is none."""
    return put_together(partial(look_at, environment))


def put_together(see: Callable[..., Seen]) -> Seen:
    """Return the digest of what an environment shows. `see` looks at its spaces, or with `seed`, at that episode."""
    told: list[str | None] = []
    for again, seed in enumerate((None, *SEEDS, SEEDS[0])):
        digest, fault = see(seed=seed)
        if fault is not None:
            return None, fault
        if again > len(SEEDS) and digest != told[1]:
            return None, f"seed {SEEDS[0]} does not give the same episode twice"
        told.append(digest)
    return _digest(told[:-1]), None


def look_at(environment: Environment, _descriptors: Sequence[int] = (), *, seed: int | None = None) -> Seen:
    """Return the digest of an environment's spaces, or with `seed` that of the first steps of this episode."""
    if isinstance(environment, JudgedEnvironment):
        environment = environment.judged
    try:
        spaces = environment.spaces()
        return (_digest(spaces) if seed is None else _episode(environment, spaces, seed)), None
    except Exception as error:  # an environment can raise anything
        return None, f"{type(error).__name__}: {error}".removesuffix(": ")


def _episode(environment: Environment, spaces: dict[str, Plain], seed: int) -> str:
    """Return a digest of the first steps of an episode. They end early where the environment refuses an action."""
    told = [environment.reset(seed)[0]]
    for number in range(min(STEPS, environment.max_steps) if seed in PLAYED else 0):
        try:
            action = environment.action(fixed_action(spaces.get("action_space"), number))
        except (InvalidAction, NoAction):
            break
        step = environment.step(action)
        told.append([step.observation, step.reward, step.terminated, step.truncated])
        if step.terminated or step.truncated:
            break
    return _digest(told)


def _digest(value: Plain) -> str:
    digest = hashlib.sha256()
    for part in _parts(value):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[str]:
    """Yield plain data as texts. Equal data gives equal texts, whatever the order of keys."""
    match value:
        case np.ndarray():
            yield f"array {value.dtype.name} {value.shape}"
            yield " ".join(map(_number, value.ravel().tolist()))
        case dict():
            yield f"mapping {len(value)}"
            for key in sorted(value):
                yield key
                yield from _parts(value[key])
        case list() | tuple():
            yield f"list {len(value)}"
            for item in value:
                yield from _parts(item)
        case None | bool() | int() | float() | str() | np.generic():
            yield f"{'text ' if isinstance(value, str) else ''}{_number(value)}"
        case _:
            raise TypeError(f"a value of type {type(value).__name__} is not plain data")


def _number(value: Any) -> str:
    """Return a number as text. A float is rounded; whole numbers are exact."""
    if isinstance(value, float | np.floating):
        number = float(value)
        number = 0.0 if abs(number) < _SMALLEST else number * _OFF_ROUND
        return f"{number:.{_DIGITS}g}"
    return str(value)
