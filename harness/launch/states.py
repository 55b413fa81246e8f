"""What is said of the parts of a launched run: from what the cluster says, and what each part says. No effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from harness.launch.files import Part, PartStatus
from harness.launch.queue import QueuedJob

Phase = Literal["waits", "runs", "done", "lost", "cancelled"]

SILENT_S = 120.0
"""Seconds after which a part that runs and says nothing is shown as silent."""


class PartView(Struct, frozen=True, kw_only=True):
    """A part as it is shown. `why` says what it waits for, or why it is lost.

    `left_s` is how long it will take, or `None` if that is not known.
    """

    part: Part
    phase: Phase
    why: str = ""
    finished: int = 0
    cost_usd: float = 0.0
    left_s: float | None = None
    go: int = 0

    @property
    def over(self) -> bool:
        """Whether no job will work on the part any more."""
        return self.phase in {"done", "lost", "cancelled"}

    @property
    def name(self) -> str:
        """The number of the part, and the model servers that it is for."""
        servers = ", ".join(self.part.servers)
        return f"part {self.part.index}" + (f" ({servers})" if servers else "")


def view(part: Part, job: QueuedJob | None, status: PartStatus | None, *, cancelled: bool, now: float) -> PartView:
    """Return a part as it is shown. `job` is `None` if the cluster does not answer."""
    phase, why = _phase(job, status, cancelled=cancelled, now=now)
    return PartView(
        part=part,
        phase=phase,
        why=why,
        finished=0 if status is None else status.finished,
        cost_usd=0.0 if status is None else status.cost_usd,
        left_s=None if phase in {"done", "lost", "cancelled"} else _left_s(part, status),
        go=0 if status is None else status.go,
    )


def _phase(job: QueuedJob | None, status: PartStatus | None, *, cancelled: bool, now: float) -> tuple[Phase, str]:
    if status is not None and status.state == "done":
        return "done", ""
    if job is None:
        known: Phase = "runs" if status is not None and status.state == "running" else "waits"
        return known, "the cluster does not answer"
    if job.state == "waits":
        return "waits", job.told
    if job.state == "runs":
        silent = status is not None and status.state == "running" and now - status.at > SILENT_S
        return "runs", f"nothing heard for {now - status.at:.0f} s" if silent and status is not None else ""
    if cancelled:
        return "cancelled", ""
    said = status.why if status is not None and status.why else "its job ended without a word"
    return "lost", f"{said} ({job.told})" if job.told else said


def _left_s(part: Part, status: PartStatus | None) -> float | None:
    """Estimate the seconds left: from its own pace, or from how long its cases took before, one after the other."""
    if status is None or not status.finished:
        return part.expected_s
    return status.ran_s * max(0, len(part.cases) - status.finished) / status.finished


def left_s(views: Sequence[PartView]) -> float | None:
    """Return the seconds until the last part is done, or `None` if that is not known of each."""
    left = [one.left_s for one in views if not one.over]
    known = [one for one in left if one is not None]
    return max(known, default=0.0) if len(known) == len(left) else None
