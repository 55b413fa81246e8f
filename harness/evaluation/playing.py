"""Plays an episode. A held-out one is played in the process of the environment.

This file needs only the standard library and NumPy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from harness.environments.base import Environment, InvalidAction, Plain, Policy, Step
from harness.environments.channel import Channel
from harness.environments.counted import set_count
from harness.environments.judged import JudgedEnvironment
from harness.evaluation.policy_link import (
    LONGEST_ANSWER,
    PolicyBroken,
    PolicyError,
    PolicyGone,
    PolicyLink,
    PolicyTimeout,
)
from harness.evaluation.private_link import PrivateLink
from harness.evaluation.recording import EpisodeRecorder, Playable
from harness.evaluation.text import printable

_END_S = 5.0


class EpisodeOutcome(StrEnum):
    """How an episode ended. Everything but `SOLVED` counts as unsolved."""

    SOLVED = "solved"
    UNSOLVED = "unsolved"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    INVALID_ACTION = "invalid_action"


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One line of `episodes.jsonl`. `index` counts the held-out seeds from 0. The seed itself is not kept.

    `steps` and `reward` (the sum) cover the steps before the end. `error` says what went wrong. `count` is the number
    of objects, if that differs between episodes.
    """

    index: int
    outcome: EpisodeOutcome
    steps: int = 0
    reward: float = 0.0
    seconds: float = 0.0
    error: str | None = None
    count: int | None = None


def run_episode(
    environment: Playable,
    policy: Policy,
    *,
    index: int,
    seed: int,
    max_steps: int,
    wall_s: float,
    step_wall_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Episode:
    """Play one episode of at most `max_steps` steps.

    `wall_s` limits the whole episode, including the environment's own time. `step_wall_s` limits the policy's time for
    one action. An exception from the environment is not the policy's fault, so it is not caught.
    """
    start = clock()
    steps, reward = 0, 0.0

    def left() -> float:
        seconds = start + wall_s - clock()
        if seconds <= 0:
            raise PolicyTimeout("no time is left")
        return seconds

    def for_step() -> float:
        return left() if step_wall_s is None else min(step_wall_s, left())

    def ended(outcome: EpisodeOutcome, error: str | None = None) -> Episode:
        seconds = round(clock() - start, 4)
        return Episode(index=index, outcome=outcome, steps=steps, reward=reward, seconds=seconds, error=error)

    try:
        observation, info = environment.reset(seed)
        policy.reset(observation, info, left())
        while steps < max_steps:
            step = environment.step(environment.action(policy.act(observation, for_step())))
            observation, steps, reward = step.observation, steps + 1, reward + float(step.reward)
            policy.update(step, left())
            if step.terminated or step.truncated:
                return ended(EpisodeOutcome.SOLVED if step.terminated else EpisodeOutcome.UNSOLVED)
    except InvalidAction as error:
        return ended(EpisodeOutcome.INVALID_ACTION, printable(str(error)))
    except PolicyTimeout as error:
        of_step = step_wall_s is not None and clock() < start + wall_s
        limit = f"the limit of {step_wall_s:g} s for a step" if of_step else f"the episode's limit of {wall_s:g} s"
        return ended(EpisodeOutcome.TIMED_OUT, f"over {limit}: {error}")
    except PolicyError as error:
        return ended(EpisodeOutcome.CRASHED, str(error))
    return ended(EpisodeOutcome.UNSOLVED)


def play(
    environment: Environment,
    descriptors: Sequence[int],
    *,
    index: int,
    seed: int,
    wall_s: float,
    step_wall_s: float | None = None,
    count: int | None = None,
) -> dict[str, Plain]:
    """Play one episode with the policy at two descriptors: the one that brings its answers, and the one for requests.

    A third one, if there is one, leads to the private environment of the policy's primitives.
    `count` is the number of objects, if that differs between episodes.

    Return the `episode`; whether the policy's process `survived` it, so that it can play the next one; whether it is
    `gone`; the names in the info of the steps, which were `told`; and the `recording` of the episode, as bytes.
    """
    set_count(environment, count)
    incoming, outgoing, *private = descriptors
    policy = _Watched(PolicyLink(Channel(incoming, outgoing, LONGEST_ANSWER), PrivateLink(private).answer))
    told = environment.told if isinstance(environment, JudgedEnvironment) else set[str]()
    told.clear()
    recorder = EpisodeRecorder(environment)
    episode = run_episode(
        recorder,
        policy,
        index=index,
        seed=seed,
        max_steps=environment.max_steps,
        wall_s=wall_s,
        step_wall_s=step_wall_s,
    )
    fault = policy.fault
    return {
        "episode": {**asdict(episode), "outcome": str(episode.outcome), "count": count},
        "survived": policy.end(),
        "gone": isinstance(fault, PolicyGone),
        "told": sorted(told),
        "recording": np.frombuffer(recorder.recorded(), np.uint8),
    }


def first_observation(
    environment: Environment, _descriptors: Sequence[int], *, seed: int, count: int | None = None
) -> Plain:
    """Return the observation with which an episode begins. `count` is as for `play`."""
    set_count(environment, count)
    return environment.reset(seed)[0]


class _Watched:
    """A policy whose last fault is remembered."""

    def __init__(self, link: PolicyLink) -> None:
        self._link = link
        self._began = False
        self.fault: PolicyError | None = None

    def reset(self, observation: Plain, info: dict[str, Plain], timeout_s: float) -> None:
        self._began = True
        self._call(self._link.reset, observation, info, timeout_s)

    def act(self, observation: Plain, timeout_s: float) -> Plain:
        return self._call(self._link.act, observation, timeout_s)

    def update(self, step: Step, timeout_s: float) -> None:
        self._call(self._link.update, step, timeout_s)

    def end(self) -> bool:
        """End the episode. Return whether the policy can play another."""
        if isinstance(self.fault, PolicyTimeout | PolicyBroken):
            return False
        try:
            return not self._began or self._link.end(_END_S)
        except PolicyError:
            return False

    def _call(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except PolicyError as error:
            self.fault = error
            raise
