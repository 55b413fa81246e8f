"""The fingerprint of an environment: equal as long as the same seeds and actions show the same.

It tells that a package has changed a problem without changing the problem's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from harness.case import EnvironmentConf
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


class Fingerprint(Struct, frozen=True):
    """A SHA-256 in hexadecimal, or why there is none."""

    digest: str | None
    fault: str | None = None


_taken: dict[bytes, Fingerprint] = {}


def fingerprint(conf: EnvironmentConf, environment: Environment) -> Fingerprint:
    """Return the fingerprint of an environment, which must be reset before it is used again.

    It is taken once in each process for each configuration: from the spaces, the first observations of some public
    seeds, and what a few fixed actions lead to. Floats count with four significant digits, and below a millionth as 0,
    so that the rounding of another machine makes no difference.
    """
    key = msgspec.json.encode(conf)
    if key not in _taken:
        _taken[key] = _take(environment.judged if isinstance(environment, JudgedEnvironment) else environment)
    return _taken[key]


def _take(environment: Environment) -> Fingerprint:
    try:
        spaces = environment.spaces()
        first = _episode(environment, spaces, SEEDS[0])
        told = [_digest(spaces), first, *(_episode(environment, spaces, seed) for seed in SEEDS[1:])]
        again = _episode(environment, spaces, SEEDS[0])
    except Exception as error:  # an environment can raise anything
        return Fingerprint(None, f"{type(error).__name__}: {error}".removesuffix(": "))
    if again != first:
        return Fingerprint(None, f"seed {SEEDS[0]} does not give the same episode twice")
    return Fingerprint(_digest(told))


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
