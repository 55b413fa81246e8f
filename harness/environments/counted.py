"""An environment whose episodes have different numbers of objects, made of one environment for each number.

This file needs only the standard library, NumPy, and what the adapter imports.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.environments.arguments import DesignCounts
from harness.environments.base import Environment, Plain, Step
from harness.environments.fidelity import Fidelity, fidelity_of
from harness.environments.judged import JudgedEnvironment

MOST_OPEN = 4
"""How many of the environments are open at a time. A physics engine may take 250 MB for each."""


class CountedEnvironment:
    """An environment whose episodes have different numbers of objects.

    `make` returns the environment for a step limit and a number of objects. It is called when a number is first needed.
    `max_steps` is the step limit without objects.

    `count` is the number of the next episodes. If it is `None`, each seed has one of the design counts. Only a process
    in which a graded episode is played sets it: this class itself does not know which numbers are held out.
    """

    def __init__(self, make: Callable[[int, int], Environment], counts: DesignCounts, max_steps: int) -> None:
        self._make = make
        self._counts = counts
        self._base_steps = max_steps
        self._open: dict[int, Environment] = {}
        self._largest = max(counts.design)
        self._now = self._largest
        self._steps = 0
        self.count: int | None = None
        self._at(self._largest)  # so that a mistake in the configuration is found at once

    @property
    def max_steps(self) -> int:
        """The step limit of the next episode if `count` is set, and otherwise of the present one."""
        return self._limit(self._now if self.count is None else self.count)

    @property
    def state_fidelity(self) -> Fidelity:
        """How faithful states are."""
        return fidelity_of(self._at(self._largest))

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        """Begin the episode of this seed."""
        self._now = self._counts.of_seed(seed) if self.count is None else self.count
        self._steps = 0
        return self._at(self._now).reset(seed)

    def action(self, plain: Plain) -> Any:
        """See `Environment.action`."""
        return self._at(self._now).action(plain)

    def step(self, action: Any) -> Step:
        """Apply an action. The episode ends at the step limit for its number of objects."""
        step = self._at(self._now).step(action)
        self._steps += 1
        over = self._steps >= self._limit(self._now) and not step.terminated
        return step._replace(truncated=bool(step.truncated) or over)

    def prepare(self) -> None:
        """Make the environment for `count`, which may take seconds, before the clock of an episode runs."""
        if self.count is not None:
            self._at(self.count)

    def render(self) -> NDArray[np.uint8]:
        """See `Environment.render`."""
        return self._at(self._now).render()

    def describe(self) -> str:
        """Return the description for the largest design count, and a part about the numbers of objects."""
        argument, design, more = self._counts
        listed = ", ".join(map(str, design))
        limit = f"{self._base_steps} steps" + (f" and {more} for each unit of `{argument}`" if more else "")
        about = _NUMBERS.format(argument=argument, design=listed, largest=self._largest, limit=limit)
        return f"{self._at(self._largest).describe().rstrip()}\n\n{about}"

    def spaces(self) -> dict[str, Plain]:
        """Return the spaces for the largest design count."""
        return self._at(self._largest).spaces()

    def get_state(self) -> Plain:
        """Return the number of objects, and the state of the environment with that number."""
        return {"count": self._now, "state": self._at(self._now).get_state()}

    def set_state(self, state: Plain) -> None:
        """Set a state with a design count. Any other number is refused, and always in the same words."""
        if not isinstance(state, dict) or set(state) != {"count", "state"}:
            raise ValueError("a state is an object with exactly the keys count, state")
        self._at_design(state["count"]).set_state(state["state"])
        self._now, self._steps = state["count"], 0

    @property
    def check_action_collision(self) -> Callable[[Plain, Plain], Plain] | None:
        """The primitive, or `None` if the environment has none.

        An observation does not tell its number of objects: the environment with the largest design count is asked.
        """
        return self._collides if getattr(self._at(self._largest), "check_action_collision", None) else None

    def _collides(self, state: Plain, action: Plain) -> Plain:
        environment: Any = self._at(self._largest)
        if isinstance(state, dict) and set(state) == {"count", "state"}:
            environment, state = self._at_design(state["count"]), state["state"]
        return environment.check_action_collision(state, action)

    def close(self) -> None:
        """Close every environment that is open."""
        while self._open:
            self._open.popitem()[1].close()

    def _at_design(self, count: Plain) -> Environment:
        """Return the environment with a design count. Raise `ValueError` for any other, always in the same words."""
        design = self._counts.design
        if type(count) is not int or count not in design:
            raise ValueError(f"the count of a state is one of {', '.join(map(str, design))}")
        return self._at(count)

    def _limit(self, count: int) -> int:
        return self._base_steps + self._counts.steps_per_object * count

    def _at(self, count: int) -> Environment:
        """Return the environment with this number of objects. Make it if needed, and close what was used least."""
        environment = self._open.pop(count, None)
        if environment is None:
            while len(self._open) >= MOST_OPEN:
                self._open.pop(next(iter(self._open))).close()
            environment = self._make(self._limit(count), count)
        self._open[count] = environment
        return environment


def prepare(environment: Environment, _descriptors: Sequence[int], *, count: int) -> None:
    """Make what is needed for a number of objects now. Raise `ValueError` if that cannot be done."""
    set_count(environment, count)


def set_count(environment: Environment, count: int | None) -> None:
    """Set the number of objects of the next episodes. `None` leaves it to the seed. Make what is needed for it now.

    Raise `ValueError` if the environment has no numbers of objects.
    """
    counted = environment.judged if isinstance(environment, JudgedEnvironment) else environment
    if isinstance(counted, CountedEnvironment):
        counted.count = count
        counted.prepare()
    elif count is not None:
        raise ValueError("this environment has no numbers of objects")


_NUMBERS = """\
## Number of objects
The number of objects differs between episodes. It is called `{argument}`. The episodes that you can see have one of
these numbers: {design}. Seeds 0, 1, 2, … have them in this order, over and over. What is said above is for {largest}.
Graded episodes may have other numbers, too, which you are not told. Write your program for any number of objects. It
must not rely on their order.

An episode ends unsolved after {limit}, whatever the text above says.

Where a tool asks for a state, the state that is described above is a part of it: `{{"count": NUMBER, "state": …}}`.
"""
