"""Purses: limits that the requests of several processes share. Plain data, and what is said of it."""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct
from msgspec.structs import astuple

from harness.budget_conf import BudgetConf

_NANO: Final = 1_000_000_000

MOST: Final = 10**15
"""The most of anything that one request counts as, so that sums fit into 64 bits: a million dollars, for example."""


class Spend(Struct, frozen=True, kw_only=True):
    """What requests use, or may use. `tokens` counts input and output, without cached input.

    `nano_usd` is in billionths of a US dollar, so that sums are exact.
    """

    nano_usd: int = 0
    tokens: int = 0
    requests: int = 0

    @classmethod
    def of(cls, cost_usd: float, tokens: int, requests: int = 1) -> Spend:
        """Return the spend of requests that cost so much. A cost is rounded up. No amount is more than `MOST`."""
        nano_usd = MOST if cost_usd * _NANO >= MOST else math.ceil(cost_usd * _NANO)
        return cls(nano_usd=nano_usd, tokens=min(tokens, MOST), requests=requests)

    @property
    def usd(self) -> float:
        """The US dollars."""
        return self.nano_usd / _NANO

    def __add__(self, other: Spend) -> Spend:
        return Spend(
            nano_usd=self.nano_usd + other.nano_usd,
            tokens=self.tokens + other.tokens,
            requests=self.requests + other.requests,
        )


class Purse(Struct, frozen=True, kw_only=True):
    """A limit that requests of several processes share. `None` means no limit.

    `name` tells it from others in the file, such as `provider/openai/2026-11-26`. `label` tells people what it is.
    """

    name: str
    label: str = ""
    cost_usd: float | None = None
    tokens: int | None = None
    requests: int | None = None

    @classmethod
    def of(cls, name: str, label: str, conf: BudgetConf) -> Purse:
        """Return the purse of a budget in the configuration."""
        return cls(name=name, label=label, cost_usd=conf.cost_usd, tokens=conf.tokens, requests=conf.requests)

    def exceeded_by(self, spend: Spend) -> str | None:
        """Return the name of a limit that `spend` is beyond, or `None`."""
        limits = {
            "cost_usd": (spend.nano_usd, None if self.cost_usd is None else math.floor(self.cost_usd * _NANO)),
            "tokens": (spend.tokens, self.tokens),
            "requests": (spend.requests, self.requests),
        }
        return next((name for name, (used, most) in limits.items() if most is not None and used > most), None)

    def spent(self, limit: str, used: Spend, wanted: Spend) -> str:
        """Return a sentence that says that a limit leaves no room for a request that may use as much as `wanted`."""
        amount = f"{self.label}.{limit} is {self._most(limit)}, and {_amount(limit, used)} are used"
        if limit == "requests":
            return amount
        return f"{amount}, which leaves no room for a request that may use {_amount(limit, wanted)}"

    def told(self, used: Spend) -> str:
        """Return what is used and what is left of each limit."""
        limits = [limit for limit in ("cost_usd", "tokens", "requests") if getattr(self, limit) is not None]
        return f"{self.label}: " + ", ".join(self._told(limit, used) for limit in limits)

    def _most(self, limit: str) -> str:
        return f"{self.cost_usd:g}" if limit == "cost_usd" else f"{getattr(self, limit):,}"

    def _told(self, limit: str, used: Spend) -> str:
        if limit == "cost_usd":
            most = self.cost_usd or 0.0
            return f"${used.usd:.4f} of ${most:g} used, ${max(most - used.usd, 0.0):.4f} left"
        most_of, used_of = getattr(self, limit), getattr(used, limit)
        return f"{used_of:,} of {most_of:,} {limit} used, {max(most_of - used_of, 0):,} left"


class HeldSpend(Struct, frozen=True):
    """A reservation, by its name in the file. No two reservations ever have the same name."""

    name: str


class Full(Struct, frozen=True):
    """A request has no room now. It is `over` if it never will have: then what is `spent` already leaves too little."""

    purse: Purse
    limit: str
    over: bool
    spent: Spend = Spend()


def _amount(limit: str, spend: Spend) -> str:
    cost, tokens, requests = astuple(spend)
    return {"cost_usd": f"{cost / _NANO:.4f} US dollars", "tokens": f"{tokens:,} tokens"}.get(limit, f"{requests:,}")
