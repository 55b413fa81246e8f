"""How a submission is graded, and its grade."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from harness.bounds import Count, Seconds

EPISODES = 100
"""How many held-out episodes a real model's submission plays by default."""

SCRIPTED_EPISODES = 20
"""How many a scripted model's submission plays by default."""


class EvaluationConf(Struct, frozen=True, forbid_unknown_fields=True):
    """How a submission is graded: the number of held-out episodes, the seconds for each, and which ones they are.

    If `episodes` is `None`, there are 100 for a real model, and 20 for a scripted one. `step_wall_s` limits the seconds
    for one action, and `wall_s` those for all episodes together. `None` means no such limit. If the policy is to
    `carry_over` what it learns, one process plays all episodes in order. Otherwise each begins with a fresh policy.

    `side_by_side` is how many of them are played at a time, at most. `None` means the cores of this machine, divided by
    the pytest processes that share it. The result does not depend on it. `seed` is public. Another number gives other
    held-out episodes. What keeps them from agents is the private key of `harness.seed_key`. `pictures` says in which
    cases episodes are drawn. `history_episodes` is how many episodes each version of a submission plays if `--history`
    asks for that; `None` means as many as the submission.
    """

    episodes: Count | None = None
    episode_wall_s: Seconds = 60.0
    step_wall_s: Seconds | None = None
    wall_s: Seconds | None = None
    carry_over: bool = False
    seed: int = 0
    side_by_side: Count | None = None
    pictures: Literal["never", "real", "always"] = "real"
    history_episodes: Count | None = None

    @property
    def scheduled(self) -> int:
        """The number of held-out episodes. It is that of a real model if `episodes` is `None`."""
        return EPISODES if self.episodes is None else self.episodes

    def for_model(self, *, scripted: bool) -> EvaluationConf:
        """Return this configuration with the number of episodes for a model."""
        return replace(self, episodes=self.episodes or (SCRIPTED_EPISODES if scripted else EPISODES))


def least_solved(rate: float, episodes: int) -> int:
    """Return how many of the episodes must be solved to reach a solve rate."""
    return next(count for count in range(episodes + 1) if count / episodes >= rate)


class CountScore(Struct, frozen=True, kw_only=True):
    """The grade over the episodes with one number of objects. `held_out` is true if the agent did not know it."""

    episodes: int
    solved: int
    solve_rate: float
    held_out: bool


class Score(Struct, frozen=True, kw_only=True):
    """The grade of a submission over all scheduled episodes.

    `solved`, `crashed` and `timed_out` count episodes. `solve_rate` is solved / scheduled. `mean_steps` and
    `mean_reward` cover the episodes that ran to an end (terminated or out of steps); they are null if there were none.
    `reason` says why nothing could be played (no submission). Every episode then counts as unsolved.

    The rest is for an environment whose number of objects differs between episodes. `by_count` has the grade for each
    number. `design_rate` is the solve rate over the numbers that the agent knew, and `held_out_rate` over the others.
    They are null if no such episode was scheduled. `largest_count_all_solved` is the largest number with every episode
    solved, and `largest_count_any_solved` the largest with at least one.
    """

    solve_rate: float
    episodes: int
    solved: int
    crashed: int
    timed_out: int
    mean_steps: float | None
    mean_reward: float | None
    reason: str | None = None
    by_count: dict[int, CountScore] = field(default_factory=dict)
    design_rate: float | None = None
    held_out_rate: float | None = None
    largest_count_all_solved: int | None = None
    largest_count_any_solved: int | None = None
