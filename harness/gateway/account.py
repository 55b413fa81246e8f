"""One session's account with the gateway: what it has used, when it was last active, and whether it may go on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import msgspec

from harness.endings import ENDINGS, Cause, Ending
from harness.gateway.admission import Admission
from harness.gateway.allowlist import AllowList, allow_list
from harness.gateway.budget import Amounts, Budget, RequestRefused
from harness.gateway.first_request import FirstRequest, first_request
from harness.gateway.ledger import Ledger, LedgerEntry, Metered, RequestFailure, Waiting
from harness.gateway.messages import ModelRequest, TokenCounts, pseudo_count
from harness.gateway.patience import Patient
from harness.gateway.prices import Pricing
from harness.gateway.provider import Call, HeldBack, Provider
from harness.gateway.purse import Spend
from harness.gateway.purses import CasePurses, SharedReservation, Wanted
from harness.gateway.worst_case import fits_the_context, largest_spend, worst_spend
from harness.http_host import Served


class Account:
    """One session's model traffic. `Gateway.open_account` makes it. Any thread may read it.

    All sessions of a case share its `budget`. `purses` are the budgets that the case shares with other cases, or None
    if there are none. `first_request` is what the first request of a turn asked for, or None if there was none yet.
    `before_turn` is called on a thread of its own before each request of a turn goes on. It must not raise. By then,
    the tools of the turn before are done.
    """

    def __init__(
        self,
        *,
        model: str,
        context: int,
        provider: Provider,
        budget: Budget,
        ledger: Path,
        purses: CasePurses | None = None,
        workspace: str = "",
        price: Pricing | None = None,
        wire: str | None = None,
        extra_fields: tuple[str, ...] = (),
        toolless: bool = False,
    ) -> None:
        self.model = model
        self._toolless = toolless
        self.wire = wire
        self._extra_fields = extra_fields
        self.context = context
        self.workspace = workspace
        self.provider = Patient(provider, purses)
        self.budget = budget
        self.ledger = Ledger(ledger, price)
        self._price = price
        self._purses = purses
        self._spent: RequestRefused | None = None
        self.served: Served | None = None
        self.first_request: FirstRequest | None = None
        self.before_turn: Callable[[], None] | None = None
        self._ended: str | None = None

    def metered(self) -> Metered:
        """Return the totals so far. An answer counts before its last bytes are sent."""
        return self.ledger.totals

    @property
    def passed(self) -> str | None:
        """The limit that a request of the case has reached, by the name of its ending, or None."""
        return self.budget.passed or (self._spent.limit if self._spent else None)

    def explain(self, limit: str) -> str:
        """Return a sentence about a limit that the case has reached: how much it has used, and how much is allowed."""
        return str(self._spent) if self._spent and self._spent.limit == limit else self.budget.explain(limit)

    def end(self, why: str) -> None:
        """Refuse every further request, because the session is being stopped. `why` is the name of its ending.

        The budget does not change, so the next session of the case can use the rest.
        """
        self._ended = why

    def allow_list(self, wire: str) -> AllowList:
        """Return what a request over this wire may carry."""
        return allow_list(wire, self._extra_fields)

    def placed(self, request: ModelRequest) -> ModelRequest:
        """Return a request as one of this session, which may be one that never offers tools."""
        return msgspec.structs.replace(request, toolless=True) if self._toolless else request

    def asked(self, call: Call) -> None:
        """Note what the first request of a turn asks for."""
        if self.first_request is None and not call.request.side:
            self.first_request = first_request(call)

    async def reserve(self, call: Call, entry: LedgerEntry) -> Admission:
        """Reserve a request's worst case in the budget of the case, and then in those that it shares.

        Raise `RequestRefused`. While the request waits for room, the session does not wait for its agent.
        """
        self.refuse_once_ended()
        held = Admission(await self.budget.reserve(self._worst_case(call)))
        try:
            if self._purses is not None:
                held.share(await self._reserve_shared(self._purses, call, entry))
            self.refuse_once_ended()
        except BaseException:
            held.give_back()
            raise
        return held

    @cached_property
    def _usual(self) -> Spend:
        return largest_spend(self.context, self._price)

    async def _reserve_shared(self, purses: CasePurses, call: Call, entry: LedgerEntry) -> SharedReservation:
        wanted = Wanted(
            worst=worst_spend(call, self.context, self._price),
            usual=self._usual,
            fits=fits_the_context(call, self.context),
        )

        def waits() -> None:
            self.refuse_once_ended()
            self.ledger.touch(entry)

        try:
            return await purses.reserve(wanted, waits)
        except RequestRefused as refusal:
            if refusal.limit == Ending.BUDGET_SPENT:
                self._spent = refusal
            raise

    def held_back(self, entry: LedgerEntry, held: HeldBack) -> None:
        """Note that a request was not sent because its service wants to be asked later: a failure like any other."""
        entry.retry_after_s = held.retry_after_s
        if entry.kind == "turn":
            self.ledger.failed(RequestFailure(held.status, str(held), held.retry_after_s))

    def refuse_once_ended(self) -> None:
        """Raise `RequestRefused` if the session is being stopped."""
        if self._ended is not None:
            raise RequestRefused(self._ended, "this session is being stopped")

    def count(self) -> None:
        """Take one count of a prompt's tokens from the budget. Raise `RequestRefused`."""
        self.refuse_once_ended()
        self.budget.count()

    @property
    def lost_to_model(self) -> bool:
        """Whether the session is being stopped because the model failed. Its open requests then use no turn."""
        return self._ended is not None and ENDINGS[Ending(self._ended)].cause is Cause.MODEL

    def worst_usage(self, call: Call) -> TokenCounts:
        """Return the most tokens that a request can use: a prompt of about its size, and an answer of full length.

        If the request does not limit its answer, it may fill the rest of the model's context.
        """
        prompt, stated = pseudo_count(call.body), call.request.max_output
        longest = max(self.context - prompt, 0) if stated is None else stated
        return TokenCounts(input_tokens=prompt, output_tokens=longest)

    def _worst_case(self, call: Call) -> Amounts:
        usage, side = self.worst_usage(call), call.request.side
        return Amounts.of(usage, self.ledger.cost_usd(usage), turns=int(not side), side_requests=int(side))

    @property
    def failures(self) -> int:
        """How many turns in a row, up to the last one, failed at the provider."""
        return self.ledger.failures

    @property
    def last_failure(self) -> RequestFailure | None:
        """The latest failure of a turn, or None."""
        return self.ledger.last_failure

    @property
    def side_failure(self) -> RequestFailure | None:
        """The latest failure of a side request, or None."""
        return self.ledger.side_failure

    @property
    def waiting(self) -> list[Waiting]:
        """The model requests that are being answered, each with the time of its last byte."""
        return self.ledger.waiting

    @property
    def last_activity(self) -> float:
        """The time when the last byte was sent or received, in seconds of `time.monotonic`."""
        return self.ledger.last_activity

    @property
    def model_s(self) -> float:
        """Seconds during which at least one request was being answered."""
        return self.ledger.busy_s

    def close(self) -> None:
        """Stop serving, cancel open requests, and close the ledger. May be called again."""
        try:
            if self.served:
                self.served.close()
        finally:
            self.ledger.close()
