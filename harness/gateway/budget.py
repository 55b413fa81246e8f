"""What a session may use of its model, counted exactly even when requests run side by side."""

from __future__ import annotations

from harness.gateway.messages import TokenCounts


def side_limit(turns: int) -> int:
    """How many side requests go with so many turns.

    They take no turn: unlimited, a program in the sandbox could ask the model for nothing. CLIs ask for a title or a
    summary, at most a few a turn.
    """
    return 4 * turns + 20


class Budget:
    """How many model turns, tokens and US dollars a session may use; none: no limit.

    A turn is reserved before its request reaches the provider and given back if the request fails, unless the client
    itself left an answer that had begun; so is a side request, of which limited turns allow `side_limit`. Tokens (input
    and output, cached input left out) and dollars are known only when an answer has come: the first request after they
    are used up is refused. An answer that goes beyond the tokens is the session's last; one that goes beyond the
    dollars is paid for, and used. `passed` names the limit that was passed so, or none.
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
        self._sides = 0
        self._tokens = 0
        self._cost_usd = 0.0

    def end(self, why: str) -> None:
        """Allow nothing more: the session is being stopped, for the ending of this name."""
        self._ended = why

    def reserve(self, *, turn: bool = True) -> str | None:
        """Take a turn or else a side request; returns what forbids the request, if anything does."""
        if self._ended is not None:
            return self._ended
        if self.turns is not None and (self._taken >= self.turns if turn else self._sides >= side_limit(self.turns)):
            self.passed = "turn_limit"
        elif self.tokens is not None and self._tokens >= self.tokens:
            self.passed = "token_limit"
        elif self.cost_usd is not None and self._cost_usd >= self.cost_usd:
            self.passed = "cost_limit"
        else:
            self._taken += turn
            self._sides += not turn
            return None
        return self.passed

    def give_back(self, *, turn: bool = True) -> None:
        """Return what was reserved for a request that failed."""
        self._taken -= turn
        self._sides -= not turn

    def spend(self, usage: TokenCounts, cost_usd: float | None) -> None:
        """An answer has used so much; its cost is none where no price is known."""
        self._tokens += usage.input_tokens + usage.output_tokens
        self._cost_usd += cost_usd or 0.0
        if self.tokens is not None and self._tokens > self.tokens:
            self.passed = "token_limit"

    def explain(self, limit: str) -> str:
        """What a refusal for this limit says."""
        match limit:
            case _ if self._ended is not None:
                return "this session is being stopped"
            case "turn_limit":
                sides = side_limit(self.turns or 0)
                return f"this session's {self.turns} model turns, or {sides} requests without tools, are used up"
            case "token_limit":
                return f"this session has used {self._tokens} tokens of {self.tokens}"
            case _:
                return f"this session has used {self._cost_usd:.4f} of {self.cost_usd:g} US dollars"
