"""How a submission is graded, and its grade."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from harness.bounds import Count, Seconds


class EvaluationConf(Struct, frozen=True, forbid_unknown_fields=True):
    """How a submission is graded: the number of held-out episodes, the seconds for each, and which ones they are.

    `side_by_side` is how many of them are played at a time, at most. `None` means the cores of this machine, divided by
    the pytest processes that share it. The result does not depend on it. `seed` is public. Another number gives other
    held-out episodes. What keeps them from agents is the private key of `harness.seed_key`. `pictures` says in which
    cases episodes are drawn. `history_episodes` is how many episodes each version of a submission plays if `--history`
    asks for that; `None` means as many as the submission.
    """

    episodes: Count = 20
    episode_wall_s: Seconds = 60.0
    seed: int = 0
    side_by_side: Count | None = None
    pictures: Literal["never", "real", "always"] = "real"
    history_episodes: Count | None = None


def least_solved(rate: float, episodes: int) -> int:
    """Return how many of the episodes must be solved to reach a solve rate."""
    return next(count for count in range(episodes + 1) if count / episodes >= rate)


class Score(Struct, frozen=True, kw_only=True):
    """The grade of a submission over all scheduled episodes.

    `solved`, `crashed` and `timed_out` count episodes. `solve_rate` is solved / scheduled. `mean_steps` and
    `mean_reward` cover the episodes that ran to an end (terminated or out of steps); they are null if there were none.
    `reason` says why nothing could be played (no submission). Every episode then counts as unsolved.
    """

    solve_rate: float
    episodes: int
    solved: int
    crashed: int
    timed_out: int
    mean_steps: float | None
    mean_reward: float | None
    reason: str | None = None
