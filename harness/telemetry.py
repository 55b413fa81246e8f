"""How an agent uses its environment while it works. It is counted outside the agent's box, so it cannot be forged."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from msgspec import Struct

MOST_SEEDS = 100
"""How many of the seeds are kept."""

Counted = Literal["resets", "steps", "renders", "states", "primitives", "trials", "clients", "errors"]


class Telemetry(Struct, frozen=True, kw_only=True):
    """What an agent did with its environment, by its tools and by the client module of a black box.

    `trials` are the episodes that its own program played. `resets`, `steps` and `renders` include those of trials.
    `states` counts how often it read or set a state, `primitives` the calls of primitives outside of its program, and
    `clients` the environments that it made by the client module. `errors` are the calls that were answered with an
    error. `seeds` is the number of different seeds, and `seed_list` has the smallest of them, at most 100.
    `first_trial_s` are the seconds from the start of the first attempt to the first trial, or null if there was none.
    `world_s` are the seconds in which the environment worked for the agent. `world_share` is their share of the agent's
    time, or null if that is not known.
    """

    resets: int = 0
    steps: int = 0
    renders: int = 0
    states: int = 0
    primitives: int = 0
    trials: int = 0
    clients: int = 0
    errors: int = 0
    seeds: int = 0
    seed_list: list[int] = []
    first_trial_s: float | None = None
    world_s: float = 0.0
    world_share: float | None = None


class WorldUse:
    """Counts what an agent does with its environment in all attempts of a case. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turn = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._seeds: set[int] = set()
        self._began: float | None = None
        self._first_trial: float | None = None
        self._busy, self._busy_since, self._world_s = 0, 0.0, 0.0

    def begin(self) -> None:
        """Note that an attempt starts."""
        with self._turn:
            self._began = self._clock() if self._began is None else self._began

    def count(self, what: Counted, number: int = 1) -> None:
        """Count something that the agent did."""
        with self._turn:
            self._counts[what] += number

    def reset(self, seed: int) -> None:
        """Count a reset with this seed."""
        with self._turn:
            self._counts["resets"] += 1
            self._seeds.add(seed)

    def trial(self) -> None:
        """Count an episode that begins, and that the agent's own program plays."""
        with self._turn:
            self._counts["trials"] += 1
            self._first_trial = self._clock() if self._first_trial is None else self._first_trial

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the seconds in the context as work of the environment. Work side by side counts once."""
        with self._turn:
            if not self._busy:
                self._busy_since = self._clock()
            self._busy += 1
        try:
            yield
        finally:
            with self._turn:
                self._busy -= 1
                if not self._busy:
                    self._world_s += self._clock() - self._busy_since

    def told(self, agent_s: float | None) -> Telemetry:
        """Return what was counted so far. `agent_s` are the seconds of the agent's sessions, if they are known."""
        with self._turn:
            first = None
            if self._first_trial is not None and self._began is not None:
                first = round(self._first_trial - self._began, 3)
            return Telemetry(
                **self._counts,
                seeds=len(self._seeds),
                seed_list=sorted(self._seeds)[:MOST_SEEDS],
                first_trial_s=first,
                world_s=round(self._world_s, 3),
                world_share=round(self._world_s / agent_s, 4) if agent_s else None,
            )
