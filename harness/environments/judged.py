"""An environment whose configuration says when an episode is solved, in place of its adapter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.environments.base import Environment, Plain, Step
from harness.environments.fidelity import fidelity_of
from harness.environments.solved_when import SolvedRule, doubt

_SUCCESS = """\
## Success
An episode is solved {}. This decides, whatever the text above says.
"""


class JudgedEnvironment:
    """The environment `judged`, with `Step.terminated` by a rule about the info or the return.

    An episode that the rule does not solve ends where `judged` ends it, as truncated. `told` are the names of the
    entries that the info of a step had so far.
    """

    def __init__(self, judged: Environment, rule: SolvedRule) -> None:
        self.state_fidelity = fidelity_of(judged)
        self.judged = judged
        self._rule = rule
        self._steps = 0
        self._return = 0.0
        self.told: set[str] = set()

    @property
    def max_steps(self) -> int:
        """The step limit of `judged`, which may be another one in another episode."""
        return self.judged.max_steps

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        """Begin an episode. Its first info decides nothing."""
        self._steps, self._return = 0, 0.0
        return self.judged.reset(seed)

    def step(self, action: Any) -> Step:
        """Apply an action. `terminated` is true when the rule says that the episode is solved."""
        step = self.judged.step(action)
        self._steps += 1
        self._return += float(step.reward)
        self.told.update(step.info)
        over = bool(step.terminated or step.truncated)
        if self._rule.name is not None:
            solved = self._rule.holds(step.info.get(self._rule.name))
        else:
            solved = (over or self._steps >= self.max_steps) and self._rule.holds(self._return)
        return step._replace(terminated=solved, truncated=over and not solved)

    def describe(self) -> str:
        """Return the description of `judged`, and when an episode is solved."""
        return f"{self.judged.describe().rstrip()}\n\n{_SUCCESS.format(self._rule)}"

    def doubt(self) -> str | None:
        """Return why the rule may be wrong: no step's info had its entry. Return `None` if there is no such reason."""
        return doubt(self._rule, self.told) if self._steps else None

    def action(self, plain: Plain) -> Any:
        """See `Environment.action`."""
        return self.judged.action(plain)

    def render(self) -> NDArray[np.uint8]:
        """See `Environment.render`."""
        return self.judged.render()

    def spaces(self) -> dict[str, Plain]:
        """See `Environment.spaces`."""
        return self.judged.spaces()

    def get_state(self) -> Plain:
        """See `Environment.get_state`."""
        return self.judged.get_state()

    def set_state(self, state: Plain) -> None:
        """See `Environment.set_state`."""
        self.judged.set_state(state)

    def close(self) -> None:
        """See `Environment.close`."""
        self.judged.close()
