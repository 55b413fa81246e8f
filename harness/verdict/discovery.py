"""Many tests at once: Benjamini-Hochberg, and cases within flagged groups."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)


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


def hierarchical(p_values: Mapping[Name, float], flagged: Iterable[Iterable[Name]]) -> dict[Name, float]:
    """Return the adjusted p-value of each case, given the groups that were flagged before.

    A case is tested among all cases, and again among the cases of each flagged group, where fewer tests compete
    (Yekutieli 2008). The smallest of its adjusted values counts. If nothing changed anywhere, then a group is flagged
    only by a false alarm, so the second chance adds no false night.
    """
    result = adjusted_by_name(p_values)
    for group in flagged:
        inside = adjusted_by_name({name: p_values[name] for name in group if name in p_values})
        result |= {name: min(result[name], value) for name, value in inside.items()}
    return result
