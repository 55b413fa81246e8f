"""Trials for tests: one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from harness.verdict.trials import CaseKey, Trial

KEY = CaseKey("opencode", "qwen", "maze")


def trial(rate: float | None, *, key: CaseKey = KEY, run: str = "base", replicate: int = 1, **fields: object) -> Trial:
    """Return a trial of 20 episodes. Without a rate it is missing."""
    ending = "finished" if rate is not None else "model_error"
    episodes = 20 if rate is not None else 0
    made = Trial(key=key, run=run, replicate=replicate, ending=ending, solve_rate=rate, episodes=episodes)
    return replace(made, **fields)


def trials(rates: Sequence[float | None], *, key: CaseKey = KEY, run: str = "base", **fields: object) -> list[Trial]:
    """Return one trial for each rate."""
    return [trial(rate, key=key, run=run, replicate=number, **fields) for number, rate in enumerate(rates, 1)]


def suite(rates: Mapping[CaseKey, Sequence[float | None]], *, run: str, **fields: object) -> list[Trial]:
    """Return the trials of several cases."""
    return [one for key, sample in rates.items() for one in trials(sample, key=key, run=run, **fields)]
