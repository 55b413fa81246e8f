"""Many tests at once: Benjamini-Hochberg, groups before cases, and cases within flagged groups."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from msgspec import Struct

Name = TypeVar("Name", bound=Hashable)


class Shares(Struct, frozen=True):
    """How the allowance for false alarms is divided between groups and cases: parts that add up to 1."""

    groups: float
    cases: float


class PValue(Struct, frozen=True):
    """A p-value, and the least one that the test could have given, whatever happened tonight."""

    found: float
    least: float


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return the p-values as Benjamini and Hochberg (1995) adjust them.

    To reject all hypotheses with an adjusted value of at most q keeps the expected share of false rejections at q.
    """
    if not p_values:
        return []
    order = np.argsort(p_values)[::-1]
    count = len(p_values)
    scaled = np.asarray(p_values, dtype=float)[order] * count / np.arange(count, 0, -1)
    result = np.empty(count)
    result[order] = np.minimum.accumulate(scaled).clip(max=1.0)
    return [float(value) for value in result]


def adjusted_by_name(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Return the adjusted p-values, each under the name of its hypothesis."""
    return dict(zip(p_values, adjusted(list(p_values.values())), strict=True))


def divided(least: Sequence[float], level: float) -> Shares:
    """Return the shares of groups and cases, given the least p-value that each case can have.

    Each gets half. If not one case could be called worse on its own, then the half of the cases would be wasted, and
    the groups get all: a test that cannot reject needs no allowance (Tarone 1990). Least p-values do not depend on
    which programs are new, so that tonight's result has no say in the choice.
    """
    reachable = bool(least) and min(least) * len(least) <= level / 2
    return Shares(0.5, 0.5) if reachable else Shares(1.0, 0.0)


def discovered(
    groups: Mapping[Name, float], cases: Mapping[Name, PValue], inside: Mapping[Name, Iterable[Name]], level: float
) -> dict[Name, float]:
    """Return the adjusted p-values of groups and cases. Each rejects its hypothesis if it is at most `level`.

    Groups come first. `inside` names the cases of each group.
    """
    shares = divided([p.least for p in cases.values()], level)
    result = _shared(adjusted_by_name(groups), shares.groups)
    flagged = [inside[name] for name, p in result.items() if p <= level]
    return result | hierarchical({name: p.found for name, p in cases.items()}, flagged, shares.cases)


def hierarchical(p_values: Mapping[Name, float], flagged: Iterable[Iterable[Name]], share: float) -> dict[Name, float]:
    """Return the adjusted p-value of each case, given the groups that were flagged before.

    A case is tested among all cases with this share of the allowance, and again among the cases of each flagged group,
    where fewer tests compete (Yekutieli 2008). The smallest of its adjusted values counts. If nothing changed anywhere,
    then a group is flagged only by a false alarm, so the second chance adds no false night and needs no allowance.
    """
    result = _shared(adjusted_by_name(p_values), share)
    for group in flagged:
        inside = adjusted_by_name({name: p_values[name] for name in group if name in p_values})
        result |= {name: min(result[name], value) for name, value in inside.items()}
    return result


def _shared(p_values: Mapping[Name, float], share: float) -> dict[Name, float]:
    """Return the adjusted p-values of hypotheses that have only a share of the allowance."""
    return {name: min(1.0, p / share) if share else 1.0 for name, p in p_values.items()}
