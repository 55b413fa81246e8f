"""Plays recorded actions again, in the process of the environment.

This file needs only the standard library, NumPy, and what the adapter imports.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.environments.base import Environment, InvalidAction, Plain
from harness.environments.counted import set_count
from harness.evaluation.recording import checksum


def begin(
    environment: Environment, _descriptors: Sequence[int] = (), *, seed: int, count: int | None = None
) -> dict[str, Plain]:
    """Begin the episode of this seed. Return the `observation`, and its checksum as `seen`.

    `count` is the number of objects, if that differs between episodes.
    """
    set_count(environment, count)
    observation, _info = environment.reset(seed)
    return {"observation": observation, "seen": checksum(observation)}


def advance(
    environment: Environment, _descriptors: Sequence[int] = (), *, actions: Sequence[Plain], show: bool = False
) -> dict[str, Plain]:
    """Apply these actions, until the episode is over or an action is refused.

    Return the `rewards` of those that were applied; the checksums of the observations after them, as `seen`; whether
    the episode is `solved` and whether it is `over`; and why the next action is `refused`, or `None`. With `show`, the
    last `observation` is returned too.
    """
    rewards, seen = list[float](), list[int]()
    observation: Plain = None
    solved = over = False
    refused: str | None = None
    for action in actions:
        try:
            step = environment.step(environment.action(action))
        except InvalidAction as error:
            refused = str(error)
            break
        observation, solved = step.observation, bool(step.terminated)
        rewards.append(float(step.reward))
        seen.append(checksum(observation))
        over = solved or bool(step.truncated)
        if over:
            break
    return {
        "rewards": np.array(rewards, np.float64),
        "seen": np.array(seen, np.uint32),
        "solved": solved,
        "over": over,
        "refused": refused,
        "observation": observation if show else None,
    }
