"""What became of a run's model servers: `servers.jsonl` in its folder, a line for each load and each stop."""

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
    """One thing that happened to a server, at a time in UTC.

    `loaded` (also after a restart), `crashed`, `failed` (it never came to be of use), `counted` (what it counted
    itself, asked when its last user is done), `stopped`; `seconds` is how long starting and loading, or stopping, took.
    `server` is the name of its folder, `leftover` what stopping left: ids of processes that could not be killed, GPUs
    whose memory did not become free.
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
    """Append to the journal of the run that started the server; any process may, at any time.

    Nothing is entered of a server that is somebody else's, or when the run's folder is gone.
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
    """What the journal of a run says, in order; nothing where no server was started."""
    try:
        lines = (run_folder / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [msgspec.json.decode(line, type=JournalEntry) for line in lines]
