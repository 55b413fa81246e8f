"""How runs are named."""

from __future__ import annotations

from datetime import UTC, datetime


def run_name(suite: str, now: datetime | None = None) -> str:
    """Return the name of a run that starts now. It sorts by time and tells the suite."""
    return f"{now or datetime.now(UTC):%Y%m%dT%H%M%S.%f}"[:-3] + f"Z-{suite}"
