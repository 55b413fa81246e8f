"""Budgets that many cases share, and what a model's service allows all of them together."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from harness.bounds import Count, Positive


class BudgetConf(Struct, frozen=True, forbid_unknown_fields=True):
    """What many cases together may use of their models. `None` means no limit.

    The gateway counts `cost_usd` by the models' prices. `tokens` counts input and output tokens, without cached input.
    `requests` counts model requests, also those that fail.
    """

    cost_usd: Positive | None = None
    tokens: Count | None = None
    requests: Count | None = None

    @property
    def empty(self) -> bool:
        """Whether it limits nothing."""
        return self.cost_usd is None and self.tokens is None and self.requests is None

    def share(self, shares: int) -> BudgetConf | None:
        """Return one of so many equal shares of this budget, or `None` if a limit leaves nothing for a share."""
        return (
            replace(
                self,
                cost_usd=None if self.cost_usd is None else self.cost_usd / shares,
                tokens=_share(self.tokens, shares),
                requests=_share(self.requests, shares),
            )
            if _divisible(shares, self.tokens, self.requests)
            else None
        )


class PaceConf(Struct, frozen=True, forbid_unknown_fields=True):
    """How fast all runs of this user on this machine may ask a provider. `None` means no limit.

    `concurrent` is the number of requests that are being answered at a time. `tokens_per_minute` counts the most that
    a request can use while it is being answered, and then what it has used.
    """

    concurrent: Count | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None

    def share(self, shares: int) -> PaceConf | None:
        """Return one of so many equal shares of this pace, or `None` if a limit leaves nothing for a share."""
        return (
            PaceConf(
                concurrent=_share(self.concurrent, shares),
                requests_per_minute=_share(self.requests_per_minute, shares),
                tokens_per_minute=_share(self.tokens_per_minute, shares),
            )
            if _divisible(shares, self.concurrent, self.requests_per_minute, self.tokens_per_minute)
            else None
        )


def _share(limit: int | None, shares: int) -> int | None:
    return None if limit is None else limit // shares


def _divisible(shares: int, *limits: int | None) -> bool:
    return all(limit is None or limit >= shares for limit in limits)
