"""The record of a case: one line of `results.jsonl`. Field names are part of the published format."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from harness.case import Limits, Score
from harness.endings import Cause, Ending

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


class CaseUsage(Struct, frozen=True, kw_only=True):
    """The same session twice: as the CLI reports it, and by the gateway's ledger."""

    reported: UsageTotals | None = None
    metered: UsageTotals | None = None


class Timing(Struct, frozen=True, kw_only=True):
    """Seconds spent, in all attempts; null for a stage that was not reached, or of which not all is known.

    `tools_s` is the agent's tool calls; of these `experiment_s` ran Python or rendered the environment.
    """

    setup_s: float | None = None
    agent_s: float | None = None
    model_s: float | None = None
    tools_s: float | None = None
    experiment_s: float | None = None
    evaluation_s: float | None = None


class Versions(Struct, frozen=True, kw_only=True):
    """What was measured with; null for what is not known."""

    harness: str
    cli: str | None = None
    model_digest: str | None = None
    sandbox: str | None = None
    environment: str | None = None


class Attempt(Struct, frozen=True, kw_only=True):
    """One session of a case: a retried case has several.

    `waited_s` passed before it; it is `resumed` if it went on with an earlier one's conversation. `seconds` is the
    CLI's whole time; of its end, `term_s` passed between SIGTERM and the CLI's end (0: it ended itself), `kill_s` until
    the last process was gone, `settle_s` until its folders were seen to rest. The others are as in `Timing`.
    """

    ending: Ending
    cause: Cause
    explanation: str
    exit_code: int | None
    resumed: bool = False
    waited_s: float = 0.0
    setup_s: float = 0.0
    seconds: float
    term_s: float = 0.0
    kill_s: float
    settle_s: float = 0.0
    model_s: float = 0.0
    tools_s: float | None = None
    experiment_s: float | None = None
    usage: CaseUsage


class Difference(Struct, frozen=True, kw_only=True):
    """Where the CLI's report and the gateway's ledger differ; `explained` by a habit of the CLI, or null: it is not."""

    attempt: int
    field: str
    reported: int
    metered: int
    explained: str | None = None


class Record(Struct, frozen=True, kw_only=True):
    """All that is kept of a case. `score` is null where nothing was graded: a missing measurement is never a 0.

    `usage`, `timing` and the counts of events are sums over `attempts`; the rest is the last attempt's. `warnings` are
    what makes the result doubtful though the case came to its end, such as a model server that cut the prompt short.
    """

    schema: int = SCHEMA
    case: CaseNames
    scripted: bool
    ending: Ending
    cause: Cause
    outcome: str
    explanation: str
    score: Score | None = None
    usage: CaseUsage = CaseUsage()
    differences: list[Difference] = field(default_factory=list)
    limits: Limits
    timing: Timing = Timing()
    versions: Versions
    attempts: list[Attempt] = field(default_factory=list)
    seeds_digest: str | None = None
    submission: dict[str, Any] | None = None
    mcp_servers: dict[str, str] = field(default_factory=dict)
    unknown_events: int = 0
    unknown_sample: dict[str, Any] | None = None
    malformed_lines: int = 0
    malformed_sample: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    artifacts: str | None = None
