"""What a session may use of its model, counted exactly even when requests run side by side."""

from __future__ import annotations

from harness.gateway.messages import Usage


class Budget:
    """How many model turns, tokens and US dollars a session may use; none: no limit.

    A turn is reserved before its request reaches the provider and given back if the request fails, unless the client
    itself left an answer that had begun. Tokens (input and
    output, cached input left out) and dollars are known only when an answer has come: the first request after they
    are used up is refused, and an answer that goes beyond them is the session's last. `passed` names the limit that
    was passed so, or none.
    """

    def __init__(self, turns: int | None = None, *, tokens: int | None = None, cost_usd: float | None = None) -> None:
        if turns is not None and turns < 0:
            raise ValueError(f"a budget of {turns} turns makes no sense: it must be 0 or more")
        self.turns = turns
        self.tokens = tokens
        self.cost_usd = cost_usd
        self.passed: str | None = None
        self._ended: str | None = None
        self._taken = 0
        self._tokens = 0
        self._cost_usd = 0.0

    def end(self, why: str) -> None:
        """Allow nothing more: the session is being stopped, for the ending of this name."""
        self._ended = why

    def reserve(self, *, turn: bool = True) -> str | None:
        """Take a turn (a side request takes none); returns what forbids the request, if anything does."""
        if self._ended is not None:
            return self._ended
        if turn and self.turns is not None and self._taken >= self.turns:
            self.passed = "turn_limit"
        elif self.tokens is not None and self._tokens >= self.tokens:
            self.passed = "token_limit"
        elif self.cost_usd is not None and self._cost_usd >= self.cost_usd:
            self.passed = "cost_limit"
        else:
            self._taken += turn
            return None
        return self.passed

    def give_back(self) -> None:
        """Return a reserved turn whose request failed."""
        self._taken -= 1

    def spend(self, usage: Usage, cost_usd: float | None) -> None:
        """An answer has used so much; its cost is none where no price is known."""
        self._tokens += usage.input_tokens + usage.output_tokens
        self._cost_usd += cost_usd or 0.0
        if self.tokens is not None and self._tokens > self.tokens:
            self.passed = "token_limit"
        elif self.cost_usd is not None and self._cost_usd > self.cost_usd:
            self.passed = "cost_limit"

    def explain(self, limit: str) -> str:
        """What a refusal for this limit says."""
        match limit:
            case _ if self._ended is not None:
                return "this session is being stopped"
            case "turn_limit":
                return f"this session's {self.turns} model turns are used up"
            case "token_limit":
                return f"this session has used {self._tokens} tokens of {self.tokens}"
            case _:
                return f"this session has used {self._cost_usd:.4f} of {self.cost_usd:g} US dollars"
