"""Budgets that many cases share, and what a model's service allows all of them together."""

from __future__ import annotations

from msgspec import Struct

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


class PaceConf(Struct, frozen=True, forbid_unknown_fields=True):
    """How fast all runs of this user on this machine may ask a provider. `None` means no limit.

    `concurrent` is the number of requests that are being answered at a time. `tokens_per_minute` counts the most that
    a request can use while it is being answered, and then what it has used.
    """

    concurrent: Count | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
