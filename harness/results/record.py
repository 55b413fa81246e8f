"""The record of a case: one line of `results.jsonl`. Field names are part of the published format."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from harness.case import Cause, Ending, Limits, Score

SCHEMA = 1


class CaseNames(Struct, frozen=True):
    """Which case it was, by the names in the configuration."""

    id: str
    backend: str
    model: str
    provider: str
    environment: str
    replicate: int


class UsageTotals(Struct, frozen=True, kw_only=True):
    """What a session used. Tokens and cost are null where the source does not tell them; cost is in US dollars."""

    turns: int
    requests: int | None = None
    tool_calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: float | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """The same session twice: as the CLI reports it, and by the gateway's books."""

    reported: UsageTotals | None = None
    metered: UsageTotals | None = None


class Timing(Struct, frozen=True, kw_only=True):
    """Seconds spent; null for a stage that was not reached."""

    setup_s: float | None = None
    agent_s: float | None = None
    model_s: float | None = None
    tools_s: float | None = None
    evaluation_s: float | None = None


class Versions(Struct, frozen=True, kw_only=True):
    """What was measured with; null for what is not known."""

    harness: str
    cli: str | None = None
    model_digest: str | None = None
    sandbox: str | None = None
    environment: str | None = None


class Attempt(Struct, frozen=True, kw_only=True):
    """One session of a case: a retried case has several."""

    ending: Ending
    cause: Cause
    explanation: str
    exit_code: int | None
    seconds: float
    kill_s: float
    usage: Usage


class Record(Struct, frozen=True, kw_only=True):
    """All that is kept of a case. `score` is null where nothing was graded: a missing measurement is never a 0."""

    schema: int = SCHEMA
    case: CaseNames
    scripted: bool
    ending: Ending
    cause: Cause
    outcome: str
    explanation: str
    score: Score | None = None
    usage: Usage = Usage()
    limits: Limits
    timing: Timing = Timing()
    versions: Versions
    attempts: list[Attempt] = field(default_factory=list)
    seeds_digest: str | None = None
    submission: dict[str, Any] | None = None
    mcp_servers: dict[str, str] = field(default_factory=dict)
    unknown_events: int = 0
    malformed_lines: int = 0
    artifacts: str | None = None
