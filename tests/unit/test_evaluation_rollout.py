"""One episode, and the score over all episodes."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.environments.base import InvalidAction, Plain, Step
from harness.evaluation.playing import Episode, EpisodeOutcome, run_episode
from harness.evaluation.policy_link import PolicyError, PolicyTimeout
from harness.evaluation.rollout import score


class Clock:
    """A clock whose time passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Countdown:
    """An environment that subtracts each action from a number. It is solved at 0, and truncated below 0."""

    max_steps = 10

    def __init__(self, clock: Clock, seconds: float = 0.0) -> None:
        self._clock, self._seconds, self._left = clock, seconds, 0

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        self._left = seed
        return seed, {"kind": "countdown"}

    def action(self, plain: Plain) -> Any:
        if type(plain) is not int:
            raise InvalidAction(f"not a whole number: \x1b[31m{plain!r}")
        return plain

    def step(self, action: Any) -> Step:
        self._clock.now += self._seconds
        self._left -= action
        return Step(self._left, -0.5, terminated=self._left == 0, truncated=self._left < 0, info={})

    def render(self) -> NDArray[np.uint8]:
        return np.zeros((1, 1, 3), np.uint8)

    def describe(self) -> str:
        return ""

    def spaces(self) -> dict[str, Plain]:
        return {}

    def get_state(self) -> Plain:
        return self._left

    def set_state(self, state: Plain) -> None:
        self._left = state

    def close(self) -> None:
        pass


class Scripted:
    """A policy in this process. It has one function for each call, which gets the seconds left."""

    def __init__(self, act: Callable[[Plain, float], Plain], reset: Callable[[float], None] = lambda _: None) -> None:
        self._act, self._reset = act, reset

    def reset(self, observation: Plain, info: dict[str, Plain], timeout_s: float) -> None:
        assert info == {"kind": "countdown"}
        self._reset(timeout_s)

    def act(self, observation: Plain, timeout_s: float) -> Plain:
        return self._act(observation, timeout_s)

    def update(self, step: Step, timeout_s: float) -> None:
        pass


def play(policy: Scripted, clock: Clock, *, seed: int = 3, seconds: float = 0.0) -> Episode:
    environment = Countdown(clock, seconds)
    return run_episode(environment, policy, index=7, seed=seed, max_steps=10, wall_s=60.0, clock=clock)


def test_a_solved_episode_counts_its_steps_and_reward() -> None:
    clock = Clock()
    episode = play(Scripted(lambda observation, _: 1), clock, seconds=2.0)
    assert episode == Episode(index=7, outcome=EpisodeOutcome.SOLVED, steps=3, reward=-1.5, seconds=6.0)


def test_the_episode_ends_unsolved_when_truncated_or_out_of_steps() -> None:
    assert play(Scripted(lambda observation, _: 4), Clock()).outcome is EpisodeOutcome.UNSOLVED
    idle = play(Scripted(lambda observation, _: 0), Clock())
    assert (idle.outcome, idle.steps, idle.error) == (EpisodeOutcome.UNSOLVED, 10, None)


def test_an_invalid_action_ends_it_with_a_printable_reason() -> None:
    episode = play(Scripted(lambda observation, _: 1 if observation > 2 else "left"), Clock())
    assert (episode.outcome, episode.steps) == (EpisodeOutcome.INVALID_ACTION, 1)
    assert episode.error == "not a whole number: 'left'"


def fail(error: Exception) -> Any:
    raise error


def test_a_policy_that_raises_has_crashed() -> None:
    episode = play(Scripted(lambda *_: fail(PolicyError("boom"))), Clock())
    assert (episode.outcome, episode.error) == (EpisodeOutcome.CRASHED, "boom")
    episode = play(Scripted(lambda *_: 1, reset=lambda _: fail(PolicyError("boom"))), Clock())
    assert (episode.outcome, episode.error) == (EpisodeOutcome.CRASHED, "boom")


def test_the_wall_limit_covers_reset_policy_and_environment_together() -> None:
    clock = Clock()
    told: list[float] = []

    def reset(timeout_s: float) -> None:
        told.append(timeout_s)
        clock.now += 10.0

    def act(observation: Plain, timeout_s: float) -> Plain:
        told.append(timeout_s)
        clock.now += 15.0
        return 1

    episode = play(Scripted(act, reset), clock, seed=5, seconds=5.0)
    assert told == [60.0, 50.0, 30.0, 10.0]
    assert (episode.outcome, episode.steps, episode.seconds) == (EpisodeOutcome.TIMED_OUT, 3, 70.0)
    assert episode.error == "over the episode's limit of 60 s: no time is left"


def test_a_call_that_does_not_return_in_time_ends_it() -> None:
    episode = play(Scripted(lambda *_: fail(PolicyTimeout("no answer"))), Clock())
    assert (episode.outcome, episode.error) == (EpisodeOutcome.TIMED_OUT, "over the episode's limit of 60 s: no answer")


def test_an_error_of_the_environment_is_not_the_policys_fault() -> None:
    class Broken(Countdown):
        def step(self, action: Any) -> Step:
            raise RuntimeError("the simulator broke")

    with pytest.raises(RuntimeError, match="the simulator broke"):
        run_episode(Broken(Clock()), Scripted(lambda *_: 1), index=0, seed=1, max_steps=1, wall_s=1.0)


episodes = st.lists(
    st.builds(
        Episode,
        index=st.integers(0, 100),
        outcome=st.sampled_from(EpisodeOutcome),
        steps=st.integers(0, 1000),
        reward=st.floats(-1000, 1000),
    ),
    min_size=1,
    max_size=30,
)


@given(episodes)
def test_the_score_counts_every_scheduled_episode_once(played: list[Episode]) -> None:
    total = score(played)
    unsolved = sum(episode.outcome is EpisodeOutcome.UNSOLVED for episode in played)
    assert total.episodes == len(played) == total.solved + total.crashed + total.timed_out + unsolved
    assert total.solve_rate == total.solved / len(played)
    assert (total.mean_steps is None) == (total.mean_reward is None) == (not whole(played))


def whole(played: list[Episode]) -> list[Episode]:
    return [episode for episode in played if episode.outcome in (EpisodeOutcome.SOLVED, EpisodeOutcome.UNSOLVED)]


@given(episodes.filter(whole))
def test_the_means_are_those_of_the_episodes_that_ran_to_their_end(played: list[Episode]) -> None:
    total, ran = score(played), whole(played)
    assert total.mean_steps is not None
    assert total.mean_reward is not None
    assert min(e.steps for e in ran) <= total.mean_steps <= max(e.steps for e in ran)
    assert min(e.reward for e in ran) - 1e-6 <= total.mean_reward <= max(e.reward for e in ran) + 1e-6


def test_without_a_scheduled_episode_there_is_no_score() -> None:
    with pytest.raises(ValueError, match=r"set evaluation\.episodes to 1 or more"):
        score([])


def test_an_episode_is_written_as_one_plain_json_object() -> None:
    line = msgspec.json.encode(Episode(index=0, outcome=EpisodeOutcome.TIMED_OUT, error="late"))
    expected = {"index": 0, "outcome": "timed_out", "steps": 0, "reward": 0.0, "seconds": 0.0, "error": "late"}
    assert json.loads(line) == {**expected, "count": None}
