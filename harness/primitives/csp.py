"""Constraint satisfaction: variables, constraints between them, and a solver that walks at random.

    x = CSPVariable("x", gymnasium.spaces.Box(0.0, 1.0, (), float))
    problem = CSP([x], [FunctionalCSPConstraint("large", [x], lambda value: value > 0.9)])
    sampler = FunctionalCSPSampler(lambda current, rng: {x: rng.random()}, problem, {x})
    RandomWalkCSPSolver(seed=0).solve(problem, {x: 0.0}, [sampler])

This file needs only the standard library and NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class CSPVariable:
    """A variable. `domain` is a space or anything else that says which values it may have. Names must differ."""

    name: str
    domain: Any = field(compare=False)


Values = Mapping[CSPVariable, Any]
"""A value for each variable."""


class CSPConstraint(Protocol):
    """A condition on some variables."""

    @property
    def variables(self) -> Sequence[CSPVariable]:
        """The variables that it is about."""

    def check_solution(self, sol: Values) -> bool:
        """Return whether the values satisfy it."""


@dataclass(frozen=True)
class FunctionalCSPConstraint:
    """It holds if `constraint_fn` is true of the values of its variables, given in their order."""

    name: str
    variables: Sequence[CSPVariable]
    constraint_fn: Callable[..., bool]

    def check_solution(self, sol: Values) -> bool:
        """See `CSPConstraint`."""
        return bool(self.constraint_fn(*(sol[variable] for variable in self.variables)))


@dataclass(frozen=True)
class LogProbCSPConstraint:
    """It holds if the natural logarithm of a probability is at least `threshold`."""

    name: str
    variables: Sequence[CSPVariable]
    constraint_logprob_fn: Callable[..., float]
    threshold: float = math.log(0.95)

    def get_logprob(self, sol: Values) -> float:
        """Return the logarithm of the probability."""
        return self.constraint_logprob_fn(*(sol[variable] for variable in self.variables))

    def check_solution(self, sol: Values) -> bool:
        """See `CSPConstraint`."""
        return self.get_logprob(sol) >= self.threshold


@dataclass(frozen=True)
class CSPCost:
    """What is to be small: a number of any unit."""

    name: str
    variables: Sequence[CSPVariable]
    cost_fn: Callable[..., float]

    def get_cost(self, sol: Values) -> float:
        """Return the cost of these values."""
        return self.cost_fn(*(sol[variable] for variable in self.variables))


@dataclass(frozen=True)
class CSP:
    """A problem: values for its variables that satisfy all constraints, at a small cost if there is one."""

    variables: Sequence[CSPVariable]
    constraints: Sequence[CSPConstraint]
    cost: CSPCost | None = None

    def check_solution(self, sol: Values) -> bool:
        """Return whether the values satisfy all constraints."""
        return all(constraint.check_solution(sol) for constraint in self.constraints)

    def get_cost(self, sol: Values) -> float:
        """Return the cost of these values, and 0 if there is none."""
        return 0.0 if self.cost is None else self.cost.get_cost(sol)


class FunctionalCSPSampler:
    """Proposes values for some variables of a problem, by a function of all current values and a generator.

    The function returns `None` if it has no proposal.
    """

    def __init__(
        self,
        fn: Callable[[dict[CSPVariable, Any], np.random.Generator], Values | None],
        csp: CSP,
        sampled_vars: Collection[CSPVariable],
    ) -> None:
        unknown = [variable.name for variable in sampled_vars if variable not in csp.variables]
        if unknown:
            raise ValueError(f"the problem has no variable {', '.join(unknown)}")
        self._fn, self.sampled_vars = fn, frozenset(sampled_vars)

    def sample(self, current_vals: dict[CSPVariable, Any], rng: np.random.Generator) -> Values | None:
        """Return new values for some variables, or `None`."""
        return self._fn(current_vals, rng)


class RandomWalkCSPSolver:
    """Changes values by one sampler at a time, and remembers the best solution.

    It makes at most `max_iters` changes. If the problem has a cost, it goes on after the first solution until it has
    found `num_improvements` better ones, or has tried `max_improvement_attempts` times. The same `seed` and the same
    calls give the same solutions.
    """

    def __init__(
        self,
        seed: int,
        max_iters: int = 100_000,
        num_improvements: int = 5,
        max_improvement_attempts: int = 1_000,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._iterations, self._improvements, self._tries = max_iters, num_improvements, max_improvement_attempts

    def solve(
        self, csp: CSP, initialization: Values, samplers: Sequence[FunctionalCSPSampler]
    ) -> dict[CSPVariable, Any] | None:
        """Return values that satisfy the problem, or `None` if none were found.

        Raise `RuntimeError` if no sampler has a proposal.
        """
        values, best, least = dict(initialization), None, math.inf
        improved = tried = 0
        for _ in range(self._iterations):
            cost = csp.get_cost(values)
            if (best is None or cost < least) and csp.check_solution(values):
                improved += best is not None
                best, least = dict(values), cost
                if csp.cost is None:
                    return best
            if best is not None:
                tried += 1
                if improved >= self._improvements or tried > self._tries:
                    return best
            values.update(self._proposal(values, samplers))
        return best

    def _proposal(self, values: dict[CSPVariable, Any], samplers: Sequence[FunctionalCSPSampler]) -> Values:
        for index in self._rng.permutation(len(samplers)):
            proposal: Values | None = samplers[index].sample(values, self._rng)
            if proposal is not None:
                return proposal
        raise RuntimeError("no sampler has a proposal")
