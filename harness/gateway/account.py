"""One session's account with the gateway: what it may use, what it has used, and when it last moved."""

from __future__ import annotations

from pathlib import Path

from harness.gateway.budget import Budget
from harness.gateway.ledger import Ledger, Metered, RequestFailure, Waiting
from harness.gateway.prices import Pricing
from harness.gateway.provider import Provider
from harness.http_host import Served


class Account:
    """One session's model traffic. Made by `Gateway.open_account`; may be read from any thread."""

    def __init__(
        self,
        *,
        model: str,
        context: int,
        provider: Provider,
        budget: Budget,
        ledger: Path,
        workspace: str = "",
        price: Pricing | None = None,
    ) -> None:
        self.model = model
        self.context = context
        self.workspace = workspace
        self.provider = provider
        self.budget = budget
        self.ledger = Ledger(ledger, price)
        self.served: Served | None = None

    def metered(self) -> Metered:
        """Totals so far. An answer counts before its last bytes are sent."""
        return self.ledger.totals

    @property
    def passed(self) -> str | None:
        """The limit that the session's requests have passed, by the name of its ending, or none."""
        return self.budget.passed

    def end(self, why: str) -> None:
        """Refuse every further request: the session is being stopped, for the ending of this name."""
        self.budget.end(why)

    @property
    def failures(self) -> int:
        """How many turns in a row, up to the last one, failed at the provider."""
        return self.ledger.failures

    @property
    def last_failure(self) -> RequestFailure | None:
        """The latest failure of a turn, or none."""
        return self.ledger.last_failure

    @property
    def waiting(self) -> list[Waiting]:
        """The model requests that are being answered, and since when each has been silent."""
        return self.ledger.waiting

    @property
    def last_activity(self) -> float:
        """When the last byte came or went, in seconds of `time.monotonic`."""
        return self.ledger.last_activity

    @property
    def model_s(self) -> float:
        """Seconds during which at least one request was being answered."""
        return self.ledger.busy_s

    def close(self) -> None:
        """Stop serving, cancel open requests, close the ledger. May be called again."""
        try:
            if self.served:
                self.served.close()
        finally:
            self.ledger.close()
