"""The rules of the gate: error rates, margins, and how often a run may be looked at."""

from __future__ import annotations

from msgspec import Struct


class Looks(Struct, frozen=True, kw_only=True):
    """How a case gets more replicates until it is decided, and the price of looking after each.

    Every case begins with `first` replicates. An undecided one may get more, up to `last`. The allowance for a false
    alarm is spent over the looks by the power family of Kim and DeMets (1987): after n replicates, (n / last)^4 of it
    is spent. Late looks get most, because early ones can hardly decide anything. `promising` is the p-value up to which
    a case is worth another replicate after the first look. `budget` is the share of more sessions that a run may use.
    In a small run, it is at least enough for one case.
    """

    first: int
    last: int = 12
    promising: float = 0.1
    budget: float = 0.3

    def __post_init__(self) -> None:
        """Raise `ValueError` if the numbers of replicates make no sense."""
        if not 1 <= self.first <= self.last:
            raise ValueError(f"a case cannot begin with {self.first} replicates and end with at most {self.last}")

    def share(self, replicates: int) -> float:
        """Return the part of the allowance that the look after so many replicates may use. At most `last` count."""
        spent = [(min(count, self.last) / self.last) ** 4 for count in (max(replicates, self.first), replicates - 1)]
        return spent[0] - (spent[1] if replicates > self.first else 0.0)

    def sessions(self, planned: int) -> int:
        """Return how many sessions may be added to so many planned ones."""
        return max(int(self.budget * planned), self.last - self.first) if self.budget else 0

    def promising_at(self, replicates: int) -> float:
        """Return the p-value up to which another replicate is worth it. It falls: a case that got worse shows it."""
        return self.promising * self.first / max(self.first, replicates)


class Rules(Struct, frozen=True, kw_only=True):
    """What the gate promises.

    `false_discovery`: the share of false alarms among all cases and groups called worse, and likewise better. Half of
    it is for groups and half for cases, but groups get all if no case could use its half. `margin`: a difference in
    solve rate that does not matter. `ratio_margin`: the same for cost, turns, tokens and seconds, as a share.
    `equivalence`: the error rate of "same". `power`: that of the smallest drop that a run could have seen. `missing`:
    the largest share of missing replicates with which a case is still judged. `allow`: conditions that may differ.
    `looks`: null if the number of replicates is fixed beforehand.
    """

    false_discovery: float = 0.05
    margin: float = 0.1
    ratio_margin: float = 0.2
    equivalence: float = 0.05
    power: float = 0.8
    missing: float = 0.5
    allow: frozenset[str] = frozenset()
    looks: Looks | None = None

    @property
    def family(self) -> float:
        """The half of the allowance that the cases get, if one of them could be called worse on its own."""
        return self.false_discovery / 2
