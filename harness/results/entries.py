"""What the history keeps of each record. Reading it is fast, and works for records of other versions too."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from harness.endings import ENDINGS, Ending
from harness.malformed import MALFORMED

_Count = Annotated[int, Meta(ge=0, le=2**53)]  # the sum of some still fits in SQLite

_FAULTS = frozenset(str(ending) for ending, policy in ENDINGS.items() if not policy.graded) - {Ending.INTERRUPTED}
"""The endings that leave nothing to grade. An interrupted session was stopped on purpose."""


class HistoryEntry(Struct, frozen=True, gc=False):
    """One try of a session: a line of `results.jsonl`, without what the history does not need.

    `case_name` is the case without its replicate. `faults` counts the attempts that infrastructure ended, and is 1 or
    more if the outcome is an error. Cost and turns leave out earlier sessions of the case, which this one repeats.
    `added` says that the replicate was not planned, but added because its case was undecided.
    `agent_s` is the time of the agent, and `case_s` the time that a scheduler should expect. A measurement that is not
    known is `None`.
    """

    case_id: str
    case_name: str
    backend: str
    model: str
    environment: str
    session: str
    try_number: int
    started_at: str | None
    outcome: str
    ending: str
    faults: int
    solve_rate: float | None
    cost_usd: float | None
    turns: int | None
    agent_s: float | None
    case_s: float
    added: bool


class RunEntries(Struct, frozen=True):
    """The entries of a run. `unreadable` counts the lines that are not records."""

    entries: list[HistoryEntry]
    unreadable: int = 0


class _Names(Struct):
    id: str
    model: str
    environment: str
    backend: str = ""
    replicate: int = 1


class _Grade(Struct):
    solve_rate: float


class _Used(Struct):
    turns: _Count | None = None
    cost_usd: float | None = None


class _BothUsages(Struct):
    reported: _Used | None = None
    metered: _Used | None = None


class _Seconds(Struct):
    setup_s: float | None = None
    agent_s: float | None = None
    evaluation_s: float | None = None


class _Planned(Struct):
    planned: int


class _Ended(Struct):
    """An attempt of the session, or an earlier session of the case that this one repeats."""

    ending: str
    usage: _BothUsages = msgspec.field(default_factory=_BothUsages)


class _Line(Struct):
    """The part of a record that is needed here. Other versions may differ in the rest."""

    case: _Names
    outcome: str
    timing: _Seconds
    session: str = ""
    try_number: _Count = 1
    started_at: str | None = None
    ending: str = ""
    score: _Grade | None = None
    usage: _BothUsages = msgspec.field(default_factory=_BothUsages)
    attempts: list[_Ended] = []
    earlier: list[_Ended] = []
    replicates: _Planned | None = None
    artifacts: str | None = None


def read_entries(results: Path) -> RunEntries:
    """Return the entries of a run. `results` is its file of records. Raise `OSError` if it cannot be read."""
    return entries_of(results.read_bytes().split(b"\n"))


def entries_of(lines: Iterable[bytes]) -> RunEntries:
    """Return the entry of each try of a session, from lines of records. Of several lines of a try, the last counts.

    The last line of a file may be cut short: its run was killed, or is being written. It counts as no line.
    """
    decoder = msgspec.json.Decoder(_Line)
    found: dict[tuple[str, int], HistoryEntry] = {}
    unreadable, cut = 0, False
    for number, text in enumerate(lines):
        unreadable += cut
        cut = False
        try:
            line = decoder.decode(text)
        except MALFORMED:
            cut = bool(text.strip())
            continue
        entry = _entry(line, number)
        found[entry.session, entry.try_number] = entry
    return RunEntries(list(found.values()), unreadable)


def _entry(line: _Line, number: int) -> HistoryEntry:
    names, timing = line.case, line.timing
    usage = _own_usage(line)
    faults = sum(one.ending in _FAULTS for one in (*line.attempts, *line.earlier))
    return HistoryEntry(
        case_id=names.id,
        case_name=_without_replicate(names),
        backend=names.backend,
        model=names.model,
        environment=names.environment,
        session=line.session or line.artifacts or f"{names.id} {number}",
        try_number=line.try_number,
        started_at=line.started_at,
        outcome=line.outcome,
        ending=line.ending,
        faults=max(faults, int(line.outcome == "error")),
        solve_rate=line.score.solve_rate if line.score else None,
        cost_usd=usage.cost_usd,
        turns=usage.turns,
        agent_s=timing.agent_s,
        case_s=sum(filter(None, (timing.setup_s, timing.agent_s, timing.evaluation_s))),
        added=line.replicates is not None and names.replicate > line.replicates.planned,
    )


def _own_usage(line: _Line) -> _Used:
    """Return what the session used: what the gateway metered, or else what the CLI reported.

    The record's usage includes earlier sessions. Then that of the attempts is added up.
    """
    if not line.earlier:
        return line.usage.metered or line.usage.reported or _Used()
    metered = [one.usage.metered for one in line.attempts if one.usage.metered]
    told = metered or [one.usage.reported for one in line.attempts if one.usage.reported]
    costs = [used.cost_usd for used in told if used.cost_usd is not None or used.turns]
    known = [cost for cost in costs if cost is not None]
    return _Used(
        turns=sum(used.turns or 0 for used in told) if told else None,
        cost_usd=sum(known) if known and len(known) == len(costs) else None,
    )


def _without_replicate(names: _Names) -> str:
    """Return the id of the case without its replicate, which a case that is not repeated does not have."""
    if names.id.endswith(f"-{names.environment}"):
        return names.id
    return names.id.removesuffix(f"-r{names.replicate}")
