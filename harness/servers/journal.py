"""The journal of a run's model servers: `servers.jsonl` in its folder, one line for each event."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from harness.servers.base import Facts
from harness.servers.leases import LeasedServer

FILE = "servers.jsonl"

Event = Literal["loaded", "crashed", "failed", "counted", "stopped"]


class JournalEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event in the life of a server. `at` is a time in UTC.

    The events are `loaded` (also after a restart), `crashed`, `failed` (it did not start, or served something else),
    `counted` (the server's own counters, read when its last user is done) and `stopped`. `seconds` is how long starting
    and loading took, or stopping. `server` is the name of its folder. `leftover` is what remained after stopping:
    processes that could not be killed, GPUs with memory that did not become free.
    """

    event: Event
    at: str
    key: str
    server: str
    gpus: tuple[str, ...] = ()
    seconds: float | None = None
    url: str | None = None
    facts: Facts | None = None
    message: str | None = None
    counters: Mapping[str, float] = {}
    leftover: tuple[str, ...] = ()


def enter(
    event: Event,
    server: LeasedServer,
    *,
    seconds: float | None = None,
    message: str | None = None,
    counters: Mapping[str, float] | None = None,
    leftover: tuple[str, ...] = (),
) -> None:
    """Append an event to the journal of the run that started the server. Any process may call this at any time.

    Do nothing for a server that Proctor did not start, or if the run's folder is gone.
    """
    if server.folder is None or not Path(server.folder).is_dir():
        return
    loaded = event == "loaded"
    entry = JournalEntry(
        event=event,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        key=server.name,
        server=Path(server.folder).name,
        gpus=server.gpus,
        seconds=None if seconds is None else round(seconds, 3),
        url=server.url if loaded else None,
        facts=server.facts if loaded else None,
        message=message,
        counters=counters or {},
        leftover=leftover,
    )
    path = Path(server.folder).parents[1] / FILE
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, msgspec.json.encode(entry) + b"\n")
    finally:
        os.close(descriptor)


def read(run_folder: Path) -> list[JournalEntry]:
    """Return the journal of a run, in order. It is empty if the run did not start a server."""
    try:
        lines = (run_folder / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [msgspec.json.decode(line, type=JournalEntry) for line in lines]
