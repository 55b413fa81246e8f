"""Flat tables of records and episodes. Names, types and order of the columns are part of the published format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from msgspec import Struct

from harness.report.properties import wilson
from harness.report.summary import tokens
from harness.report.table import seconds, used
from harness.results.episodes import EpisodeLine, read_episodes
from harness.results.record import Record, UsageTotals
from harness.results.runs import folder_of
from harness.visible import visible

Value = str | int | float | bool | datetime | None


class ColumnType(StrEnum):
    """What the values of a column are. Each may also be missing. A time is in UTC."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "true or false"
    TIME = "time"


class TableColumn(Struct, frozen=True):
    """A column: its name, its type, and where its value stands in a row's `_RecordFacts` or `_EpisodeFacts`."""

    name: str
    type: ColumnType
    source: str


class FlatTable(Struct, frozen=True):
    """A table without nesting. Each row has a value for each column; `None` stands for what is not known."""

    columns: Sequence[TableColumn]
    rows: list[list[Value]]

    def column(self, number: int) -> list[Value]:
        """Return the values of a column."""
        return [row[number] for row in self.rows]


class _RecordFacts(Struct, frozen=True):
    """What a row of the table of records is made of. Numbers that several columns share are computed once."""

    run: str
    folder: str | None
    record: Record
    used: UsageTotals | None
    tokens: int | None
    seconds: float | None
    interval: Mapping[str, float]
    unexplained: list[object]
    submission_digest: object
    overrides: str


class _EpisodeFacts(Struct, frozen=True):
    """What a row of the table of episodes is made of."""

    run: str
    record: Record
    line: EpisodeLine


def _columns(kind: ColumnType, prefix: str, names: str, *, named: str = "") -> list[TableColumn]:
    """Return one column for each of the names, which are fields of what stands at `prefix`."""
    return [TableColumn(f"{named}{name}", kind, f"{prefix}{name}") for name in names.split()]


_TEXT, _INTEGER, _NUMBER, _BOOLEAN = ColumnType.TEXT, ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.BOOLEAN

_COUNTS = "turns requests tool_calls input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens"

_CASE = [
    TableColumn("run", _TEXT, "run"),
    TableColumn("case", _TEXT, "record.case.id"),
    *_columns(_TEXT, "record.case.", "backend model provider environment"),
    TableColumn("replicate", _INTEGER, "record.case.replicate"),
    TableColumn("session", _TEXT, "record.session"),
    TableColumn("try_number", _INTEGER, "record.try_number"),
]
"""Which session it was: the same columns in both tables, by which they can be joined."""

RECORD_COLUMNS: Sequence[TableColumn] = [
    *_CASE,
    TableColumn("started_at", ColumnType.TIME, "record.started_at"),
    TableColumn("scripted", _BOOLEAN, "record.scripted"),
    *_columns(_TEXT, "record.", "outcome ending cause explanation"),
    TableColumn("known_failure", _TEXT, "record.known_failure.told"),
    TableColumn("solve_rate", _NUMBER, "record.score.solve_rate"),
    *_columns(_NUMBER, "interval.", "low high", named="solve_rate_"),
    *_columns(_INTEGER, "record.score.", "episodes solved crashed timed_out"),
    *_columns(_NUMBER, "record.score.", "mean_steps mean_reward design_rate held_out_rate"),
    *_columns(_INTEGER, "record.score.", "largest_count_all_solved largest_count_any_solved"),
    TableColumn("pass_solve_rate", _NUMBER, "record.pass_solve_rate"),
    TableColumn("turns", _INTEGER, "used.turns"),
    TableColumn("tokens", _INTEGER, "tokens"),
    TableColumn("cost_usd", _NUMBER, "used.cost_usd"),
    TableColumn("seconds", _NUMBER, "seconds"),
    *_columns(_INTEGER, "record.usage.reported.", _COUNTS, named="reported_"),
    TableColumn("reported_cost_usd", _NUMBER, "record.usage.reported.cost_usd"),
    *_columns(_INTEGER, "record.usage.metered.", _COUNTS, named="metered_"),
    TableColumn("metered_cost_usd", _NUMBER, "record.usage.metered.cost_usd"),
    *_columns(_INTEGER, "record.", "compactions denials unknown_events malformed_lines"),
    *_columns(_INTEGER, "record.", "attempts differences warnings weaker_limits"),
    TableColumn("unexplained_differences", _INTEGER, "unexplained"),
    TableColumn("earlier_sessions", _INTEGER, "record.earlier"),
    *_columns(_NUMBER, "record.timing.", "total_s server_s waited_s setup_s agent_s model_s tools_s experiment_s"),
    TableColumn("evaluation_s", _NUMBER, "record.timing.evaluation_s"),
    *_columns(_INTEGER, "record.limits.", "turns tokens", named="limit_"),
    *_columns(_NUMBER, "record.limits.", "cost_usd wall_s", named="limit_"),
    TableColumn("max_steps", _INTEGER, "record.max_steps"),
    TableColumn("solved_when", _TEXT, "record.solved_when"),
    TableColumn("overrides", _TEXT, "overrides"),
    TableColumn("harness_version", _TEXT, "record.versions.harness"),
    *_columns(_TEXT, "record.versions.", "harness_commit project_commit"),
    TableColumn("cli_version", _TEXT, "record.versions.cli"),
    *_columns(_TEXT, "record.versions.", "cli_path model_digest"),
    TableColumn("sandbox_version", _TEXT, "record.versions.sandbox"),
    TableColumn("environment_version", _TEXT, "record.versions.environment"),
    TableColumn("prompt_digest", _TEXT, "record.digests.prompt"),
    TableColumn("instructions_digest", _TEXT, "record.digests.instructions"),
    TableColumn("tools_digest", _TEXT, "record.digests.tools"),
    TableColumn("submission_digest", _TEXT, "submission_digest"),
    *_columns(_TEXT, "record.", "conditions_digest seed_key seeds_digest"),
    TableColumn("folder", _TEXT, "folder"),
]

EPISODE_COLUMNS: Sequence[TableColumn] = [
    *_CASE,
    TableColumn("episode", _INTEGER, "line.index"),
    TableColumn("outcome", _TEXT, "line.outcome"),
    TableColumn("steps", _INTEGER, "line.steps"),
    TableColumn("reward", _NUMBER, "line.reward"),
    TableColumn("seconds", _NUMBER, "line.seconds"),
    TableColumn("error", _TEXT, "line.error"),
    TableColumn("count", _INTEGER, "line.count"),
]


def record_table(runs: Iterable[tuple[Path, Sequence[Record]]]) -> FlatTable:
    """Return a row for each record. `runs` are folders of runs with their records."""
    rows = [_row(RECORD_COLUMNS, _facts(folder, record)) for folder, records in runs for record in records]
    return FlatTable(RECORD_COLUMNS, rows)


def episode_table(runs: Iterable[tuple[Path, Sequence[Record]]]) -> FlatTable:
    """Return a row for each held-out episode that was played and whose file is still there.

    Raise `ValueError` if a line of that file is not an episode, and `OSError` if it cannot be read.
    """
    rows = [
        _row(EPISODE_COLUMNS, _EpisodeFacts(visible(folder.name), record, line))
        for folder, records in runs
        for record in records
        if (case := folder_of(folder, record)) is not None
        for line in read_episodes(case.episodes)
    ]
    return FlatTable(EPISODE_COLUMNS, rows)


def _facts(folder: Path, record: Record) -> _RecordFacts:
    score = record.score
    low, high = wilson(score.solved, score.episodes) if score and score.episodes else (None, None)
    return _RecordFacts(
        run=visible(folder.name),
        folder=visible(str(folder / record.artifacts)) if record.artifacts else None,
        record=record,
        used=used(record),
        tokens=tokens(record),
        seconds=seconds(record),
        interval={} if low is None or high is None else {"low": low, "high": high},
        unexplained=[one for one in record.differences if one.explained is None],
        submission_digest=record.submission.get("digest") if record.submission else None,
        overrides=" ".join(record.overrides),
    )


def _row(columns: Sequence[TableColumn], facts: Struct) -> list[Value]:
    return [_converted(_found(facts, column.source), column.type) for column in columns]


def _found(facts: object, source: str) -> object:
    """Return what stands at a dotted name, or `None` where a part of it is missing. A list stands for its length."""
    value: Any = facts
    for name in source.split("."):
        if value is None:
            return None
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name)
    return len(value) if isinstance(value, list) else value


def _converted(value: Any, kind: ColumnType) -> Value:
    """Return the value in the type of its column. What does not fit is not known."""
    if value is None:
        return None
    match kind:
        case ColumnType.TEXT:
            return str(value) or None
        case ColumnType.INTEGER:
            return int(value) if -(2**63) <= value < 2**63 else None
        case ColumnType.NUMBER:
            return float(value)
        case ColumnType.BOOLEAN:
            return bool(value)
        case ColumnType.TIME:
            return _time(str(value))


def _time(text: str) -> datetime | None:
    """Return the time that a record tells, or `None` if it is not a time with its zone."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None
