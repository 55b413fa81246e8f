"""The tokens and the cost that a CLI reports in the course of a session."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from backends.events import Usage, summed

_MODELS = 64
"""How many models are told apart. The tokens of any others count together."""
OTHER_MODELS = "others"


class ReportedUsage(Struct):
    """The sums over responses, and the running totals that a CLI may report besides.

    A count that nothing told is `None`.
    """

    responses: Usage = Usage()
    totals: Usage = Usage()
    responses_usd: float | None = None
    total_usd: float | None = None
    responses_by_model: dict[str, Usage] = {}
    totals_by_model: Mapping[str, Usage] = {}

    @property
    def usage(self) -> Usage:
        """For each kind of token, the greater count."""
        return self.responses.most(self.totals)

    @property
    def cost_usd(self) -> float | None:
        """The greater amount, in US dollars."""
        return max((usd for usd in (self.responses_usd, self.total_usd) if usd is not None), default=None)

    @property
    def by_model(self) -> dict[str, Usage]:
        """Tokens by the model's name, if the CLI tells it. Its totals count, if it reports any by model."""
        return dict(self.totals_by_model or self.responses_by_model)

    def add(self, usage: Usage, cost_usd: float | None, model: str) -> None:
        """Count a response, or what has come to one that is counted already."""
        self.responses += usage
        self.responses_usd = summed(self.responses_usd, cost_usd)
        if model:
            known = model in self.responses_by_model or len(self.responses_by_model) < _MODELS
            name = model if known else OTHER_MODELS
            self.responses_by_model[name] = self.responses_by_model.get(name, Usage()) + usage

    def reach(self, usage: Usage, cost_usd: float | None, by_model: Mapping[str, Usage]) -> None:
        """Note the totals so far."""
        self.totals = self.totals.most(usage)
        self.total_usd = max((usd for usd in (self.total_usd, cost_usd) if usd is not None), default=None)
        self.totals_by_model = by_model or self.totals_by_model
