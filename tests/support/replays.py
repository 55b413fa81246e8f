"""Compares the record of a replay with that of the recorded session."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from harness.results.record import Record

MAY_DIFFER: Final = re.compile(
    r"started_at|session|artifacts|tests|timing\..*|attempts\.\d+\.(seconds|\w+_s)"  # times and names of this session
    r"|telemetry\.(\w+_s|world_share)"
    r"|(overrides|options)(\.\d+)?"  # the command line
    r"|case\.(id|model|provider)|scripted|played_from|versions\.model_digest|conditions_digest"  # who answers
    r"|conditions\.(model_digest|provider|scripted|server|server_context|gpu_driver|provider\..*|server\..*)"
    r"|(conditions\.)?(seed_key|seeds_digest|counts_digest|held_out_counts)"  # a real model is graded by private seeds
    r"|score\.mean_(steps|reward)"
)
"""The fields of a record that a replay may change. Everything else must be the same."""


def changed(recorded: Record, replayed: Record) -> dict[str, tuple[object, object]]:
    """Return the fields that a replay must not change and has changed, with both values."""
    before, after = (dict(_leaves(msgspec.to_builtins(record), "")) for record in (recorded, replayed))
    return {
        name: (before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and not MAY_DIFFER.fullmatch(name)
    }


def _leaves(value: Any, name: str) -> Iterator[tuple[str, object]]:
    """Yield every plain value of a record with its name. Names of tests have dots, and count as one field."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None or name == "tests":
        yield name, value
    else:
        for key, part in inner:
            yield from _leaves(part, f"{name}.{key}" if name else str(key))
