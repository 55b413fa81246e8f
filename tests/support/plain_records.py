"""What two runs of the same case have in common."""

from __future__ import annotations

from msgspec import to_builtins
from msgspec.structs import replace

from harness.results.record import CaseUsage, Record, Timing
from harness.results.usage import own_usage

OF_A_MOMENT = {"seconds", "term_s", "kill_s", "setup_s", "settle_s", "model_s", "tools_s", "experiment_s", "waited_s"}
"""What differs between two runs of an attempt."""


def plain(record: Record) -> object:
    """Return what must be the same in an unbroken run: everything but times, folders and earlier sessions.

    Someone may commit to Proctor's checkout meanwhile.
    """
    usage, versions = own_usage(record), replace(record.versions, harness_commit=None)
    same = replace(record, started_at=None, timing=Timing(), artifacts=None, earlier=[], usage=CaseUsage())
    same = replace(same, versions=versions)
    values = to_builtins(same) | {"usage": to_builtins(usage)}
    if record.telemetry is not None:
        counts = replace(record.telemetry, first_trial_s=None, world_s=0.0, world_share=None)
        values["telemetry"] = to_builtins(counts)
    values["attempts"] = [
        {key: value for key, value in attempt.items() if key not in OF_A_MOMENT} for attempt in values["attempts"]
    ]
    return values


def has_result(record: Record) -> object:
    """Return what must be the same although an agent had to go on in another way: that there is a result."""
    return (record.session, record.outcome != "error", record.seeds_digest)


def result(record: Record) -> object:
    """Return what must be the same although infrastructure failed in between: how the case went, and what was graded.

    Attempts, usage and warnings tell of the fault.
    """
    names = ("session", "outcome", "cause", "score", "submission", "seeds_digest", "conditions", "tests")
    return {name: to_builtins(getattr(record, name, None)) for name in names}
