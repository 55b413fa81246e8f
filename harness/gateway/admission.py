"""What an open model request holds: its part of its case's budget, and of those that the case shares."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from harness.gateway.budget import Reservation
from harness.gateway.messages import TokenCounts
from harness.gateway.purse import Spend
from harness.gateway.purses import SharedReservation

_BUSY: Final = {429, 503, 529}
"""The statuses by which a service says that it takes no request now."""


class Admission:
    """A context manager. Leaving it without a call of `settle` gives everything back, because nothing was sent."""

    def __init__(self, own: Reservation) -> None:
        self._own = own
        self._shared: SharedReservation | None = None

    def share(self, shared: SharedReservation) -> None:
        """Take in what the request holds of the budgets that its case shares."""
        self._shared = shared

    @property
    def settled(self) -> bool:
        """Whether it is known what the request has used."""
        return self._own.settled

    def settle(self, usage: TokenCounts, cost_usd: float | None, *, counts: bool, billed: Spend | None) -> None:
        """Charge the case as `Reservation.settle` says, and the shared budgets what the provider has `billed`.

        If that is not known (`None`), they are charged the most that it can be.
        """
        self._own.settle(usage, cost_usd, counts=counts)
        if self._shared is not None:
            self._shared.settle(self._shared.worst if billed is None else billed)

    def told(self, status: int, retry_after_s: float | None) -> None:
        """Note the status of an answer, and when the service wants to be asked again: for all who share its pace."""
        if self._shared is not None and retry_after_s and status in _BUSY:
            self._shared.hold_back(retry_after_s)

    def give_back(self) -> None:
        """Settle for a request that was never sent, unless it is already settled."""
        if not self.settled:
            self._own.give_back()
            if self._shared is not None:
                self._shared.settle(Spend())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()
