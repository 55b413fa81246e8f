"""The tokens and the cost that a CLI reports in the course of a session."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from backends.events import Usage, summed

_MODELS = 64
"""How many models are told apart. The tokens of any others count together."""
OTHER_MODELS = "others"


class Totals(Struct, frozen=True):
    """The running totals of a CLI: tokens, US dollars, and tokens by model."""

    usage: Usage = Usage()
    usd: float | None = None
    by_model: Mapping[str, Usage] = {}

    def since(self, before: Totals) -> Totals:
        """Return what came after `before`, or these totals if they do not begin with them."""
        if self.usage.most(before.usage) != self.usage:
            return self
        return Totals(
            usage=self.usage - before.usage,
            usd=None if self.usd is None else max(self.usd - (before.usd or 0.0), 0.0),
            by_model={name: used - before.by_model.get(name, Usage()) for name, used in self.by_model.items()},
        )


class ReportedUsage(Struct):
    """The sums over responses, and the running totals that a CLI may report besides.

    A count that nothing told is `None`. `before` are the totals with which the CLI began: those of the conversation
    that it resumed. They are `guessed` if the earlier CLI was killed before it reported any. `told` are the last totals
    of that conversation that a CLI reported.
    """

    responses: Usage = Usage()
    responses_usd: float | None = None
    responses_by_model: dict[str, Usage] = {}
    totals: Totals = Totals()
    before: Totals = Totals()
    told: Totals = Totals()
    guessed: bool = False

    @property
    def own_totals(self) -> Totals:
        """The totals without those of the conversation that the CLI resumed.

        A CLI may be killed before it saves a response. The totals are then too small to hold the prompts of all
        responses, and only what an earlier CLI reported is taken away.
        """
        complete = self.totals.usage.prompt_tokens >= (self.before.usage + self.responses).prompt_tokens
        return self.totals.since(self.before if complete else self.told)

    @property
    def usage(self) -> Usage:
        """For each kind of token, the greater count."""
        return self.responses.most(self.own_totals.usage)

    @property
    def cost_usd(self) -> float | None:
        """The greater amount, in US dollars."""
        return max((usd for usd in (self.responses_usd, self.own_totals.usd) if usd is not None), default=None)

    @property
    def by_model(self) -> dict[str, Usage]:
        """Tokens by the model's name, if the CLI tells it. Its totals count, if it reports any by model."""
        return dict(self.own_totals.by_model or self.responses_by_model)

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
        self.totals = Totals(
            usage=self.totals.usage.most(usage),
            usd=max((usd for usd in (self.totals.usd, cost_usd) if usd is not None), default=None),
            by_model=by_model or self.totals.by_model,
        )

    @property
    def saved(self) -> Totals:
        """The totals that the CLI has saved: those that it reported, or else its responses so far."""
        if self.totals != Totals():
            return self.totals
        return Totals(
            usage=self.before.usage + self.responses,
            usd=summed(self.before.usd, self.responses_usd),
            by_model={
                name: self.before.by_model.get(name, Usage()) + self.responses_by_model.get(name, Usage())
                for name in (*self.before.by_model, *self.responses_by_model)
            },
        )

    def resumes(self, earlier: ReportedUsage) -> None:
        """Note that the CLI resumed an earlier conversation, and goes on with its totals."""
        self.guessed = earlier.totals == Totals()
        self.before, self.told = earlier.saved, earlier.told if self.guessed else earlier.totals
