"""What a result depends on besides the case itself. Two results under the same conditions may be compared."""

from __future__ import annotations

import msgspec

from harness.results.record import Record

UNLIMITED = "no limit"
"""The value of a limit that is not set."""

_ONLY_PAUSES = frozenset({"wait_s", "retry_s", "grace_s"})
"""Limits on pauses between and after sessions. They change how long a case takes, and not what the agent can do."""


def conditions_of(record: Record) -> dict[str, str | None]:
    """Return the conditions of a record, by name. A value is null if the record does not know it.

    Replicates of a case in one run have the same conditions. So what varies between them is left out: times, usage, the
    submission, and the number of attempts. The names in the case are left out too, since only equal cases are compared.
    """
    versions, digests = record.versions, record.digests
    return {
        "cli": versions.cli,
        "cli_path": versions.cli_path,
        "environment": versions.environment,
        "environment_arguments": _text(record.environment_arguments),
        "harness": versions.harness,
        "instructions": digests.instructions,
        **_limits(record),
        "max_steps": _text(record.max_steps),
        "model_digest": versions.model_digest,
        "pass_solve_rate": _text(record.pass_solve_rate),
        "prompt": digests.prompt,
        "provider": record.case.provider,
        "sandbox": versions.sandbox,
        "scripted": _text(record.scripted),
        "seed_key": record.seed_key,
        "seeds_digest": record.seeds_digest,
        "solved_when": record.solved_when,
        "tools": digests.tools,
    }


def _limits(record: Record) -> dict[str, str | None]:
    limits = msgspec.structs.asdict(record.limits)
    return {
        f"limits.{name}": UNLIMITED if value is None else _text(value)
        for name, value in limits.items()
        if name not in _ONLY_PAUSES
    }


def _text(value: object) -> str | None:
    """Return a value as text that is equal if the value is. Numbers are written as in JSON, and keys are sorted."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return msgspec.json.encode(value, order="sorted").decode()
