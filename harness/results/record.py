"""The record of a case: one line of `results.jsonl`. Field names are part of the published format."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from backends.events import Usage
from harness.case import NO_MODEL, KnownFailure, Limits
from harness.endings import Cause, Ending
from harness.grading import Score
from harness.quota import QuotaWindow
from harness.telemetry import Telemetry

SCHEMA = 1

RERUN = "rerun"
"""What `Record.tests` says of a test that a plugin ran again, in the next try of its session."""


class CaseNames(Struct, frozen=True):
    """The parts of a case, by their names in the configuration."""

    id: str
    backend: str
    model: str
    provider: str
    environment: str
    replicate: int

    @property
    def has_agent(self) -> bool:
        """Whether a model wrote the case's program. If not, its model and provider are only names."""
        return (self.model, self.provider) != (NO_MODEL, NO_MODEL)


class PlannedReplicates(Struct, frozen=True, kw_only=True):
    """How many replicates each case of a run has: those that its suite plans, and at most so many in all.

    A replicate with a higher number than `planned` was added because the case was not decided (`--until-decided`).
    """

    planned: int
    most: int


class UsageTotals(Struct, frozen=True, kw_only=True):
    """What a session used. Tokens and cost are null if the source does not report them. Cost is in US dollars.

    `reasoning_tokens` are a part of `output_tokens`.
    """

    turns: int
    requests: int | None = None
    tool_calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None


class CaseUsage(Struct, frozen=True, kw_only=True):
    """The usage of a session from two sources: the CLI's report and the gateway's ledger."""

    reported: UsageTotals | None = None
    metered: UsageTotals | None = None


class Timing(Struct, frozen=True, kw_only=True):
    """Seconds spent in all attempts. A stage is null if it was not reached or is not known for every attempt.

    `total_s` is the whole time of the case, waits included. `server_s` is the wait for its model server, and `waited_s`
    are the pauses between attempts. `tools_s` is the time of the agent's tool calls. `experiment_s` is the part of it
    that ran Python or rendered the environment.
    """

    total_s: float | None = None
    server_s: float | None = None
    waited_s: float | None = None
    setup_s: float | None = None
    agent_s: float | None = None
    model_s: float | None = None
    tools_s: float | None = None
    experiment_s: float | None = None
    evaluation_s: float | None = None
    pictures_s: float | None = None


class Versions(Struct, frozen=True, kw_only=True):
    """The versions of what the case ran with. A version is null if it is not known.

    `cli_path` is the path that the configuration gives for the CLI. It is null for the pinned CLI. A commit ends in
    `-dirty` if a tracked file of its checkout differs from it.
    """

    harness: str
    harness_commit: str | None = None
    project_commit: str | None = None
    cli: str | None = None
    cli_path: str | None = None
    model_digest: str | None = None
    sandbox: str | None = None
    environment: str | None = None


class Asked(StrEnum):
    """What an attempt asked of the agent."""

    TASK = "task"
    GO_ON = "go_on"
    COMPACT = "compact"
    SHORTENED = "go_on_shortened"
    BRIEFLY = "go_on_briefly"


class Digests(Struct, frozen=True, kw_only=True):
    """What the agent was asked, as SHA-256 in hexadecimal. Equal digests mean that two agents were asked the same.

    A digest is null if no attempt was made. That of the `tools` is null if none was offered.
    """

    prompt: str | None = None
    instructions: str | None = None
    tools: str | None = None


class Attempt(Struct, frozen=True, kw_only=True):
    """One session of a case. A case that was retried has several.

    `waited_s` is the pause before it. `resumed` is true if it continued an earlier conversation. `asked` is what it
    asked of the agent. `seconds` is the whole
    time of the CLI. It includes `term_s`, the time from SIGTERM to the exit of the CLI (0 if the CLI ended by itself),
    and `kill_s`, the time until the last process was gone. `settle_s` is the time after that until the session's
    folders stopped changing. The other times are as in `Timing`.
    `quota` is what the service said last about the quota of the subscription that pays, or null if none pays.
    """

    ending: Ending
    cause: Cause
    explanation: str
    exit_code: int | None
    resumed: bool = False
    asked: Asked = Asked.TASK
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
    quota: list[QuotaWindow] | None = None


class EarlierSession(Struct, frozen=True, kw_only=True):
    """A session of the same case that was killed, or ended with an error, and was run again.

    It is told apart from the session of the record: only the record's `usage` includes it. `artifacts` is the name of
    the folder that it left.
    """

    started_at: str | None
    ending: Ending
    cause: Cause
    explanation: str
    usage: CaseUsage
    timing: Timing
    attempts: list[Attempt]
    artifacts: str


class CandidateTried(Struct, frozen=True, kw_only=True):
    """One of several submissions that a session left, and how it did in public episodes.

    `folder` is its folder in the workspace. `solved` counts the episodes that it solved. It is null if there was
    nothing to try, and `reason` then says why. The `chosen` one is graded.
    """

    folder: str
    digest: str | None = None
    episodes: int
    solved: int | None = None
    reason: str | None = None
    chosen: bool = False


class InstanceRecord(Struct, frozen=True, kw_only=True):
    """The session of an agent that saw the one instance which its program must solve.

    `index` is that of the held-out episode. `attempts` counts the session's attempts, and `usage` is their sum. An
    instance without an attempt has no ending, and `explanation` says why it was left out. `outcome` is that of its
    episode, or null as long as the program has not played it.
    """

    index: int
    ending: Ending | None = None
    explanation: str
    attempts: int = 0
    usage: CaseUsage = CaseUsage()
    outcome: str | None = None


class HistoryPoint(Struct, frozen=True, kw_only=True):
    """A version of the submission that the agent had between two turns, and its solve rate in held-out episodes.

    `turns`, `tokens` and `cost_usd` are what the case had used of its model by then. Cached input does not count as
    tokens, and the cost is null if no price is known. `seconds` is the time since the first attempt began. `commit`
    names the version in the case's `versions.git`, and `digest` is that of its files.
    """

    turns: int
    tokens: int
    cost_usd: float | None
    seconds: float
    commit: str
    digest: str
    solve_rate: float
    solved: int
    episodes: int


class Difference(Struct, frozen=True, kw_only=True):
    """A count that differs between the CLI's report and the gateway's ledger.

    `explained` is the habit of the CLI that explains it, or null if none does.
    """

    attempt: int
    field: str
    reported: int
    metered: int
    explained: str | None = None


class Record(Struct, frozen=True, kw_only=True):
    """Everything that is kept of a case. `score` is null if nothing was graded. A missing measurement is never a 0.

    `usage`, `usage_by_model`, `timing` and the counts of events are sums over `attempts`. The rest describes the last
    attempt. `usage` also includes the sessions in `earlier`: the sum over the records of a run is what the run cost.
    `tests` has the outcome of each test that used the session, or `rerun` if a plugin ran the test again. `warnings`
    say why the result is doubtful although the case finished, for instance because a model server cut the prompt short.
    `weaker_limits` say which limits the machine could not guarantee. `sandbox_guarantees` name what the sandbox
    guaranteed, as the probe found; older versions have none. `session` is the name of the folder of the first
    try. It is empty in records of older versions. `try_number` is 1, or more if a plugin reran the tests.

    `conditions` are what the result depends on besides the case itself, by name, and `conditions_digest` is one SHA-256
    of them all. In records of older versions, there are none.

    `replicates` is null if the number of replicates is fixed, and in records of older versions.

    `telemetry` says how the agent used the environment while it worked. It is null if no agent ran, and in records of
    older versions.

    `played_from` says whose answers a cassette played. It is null for any other case, and in records of older versions.

    `translated` is the wire of the provider if the gateway translated between it and that of the CLI. It is null if the
    CLI speaks it, and in records of older versions.

    `started_at` is when the case began, in UTC. `overrides` are the `--set` settings of the command line, and `options`
    Proctor's other options there. `pass_solve_rate`, `solved_when`, `max_steps`, `environment_arguments` and
    `visibility` are the environment's configuration. They are null in records of older versions. `state_fidelity` says
    what the environment can do with a state that is set (`harness.environments.fidelity`). It is null if the
    environment was not made, and in records of older versions. `counts` are the numbers of objects that the agent was
    told of, if the environment has such, and `counts_digest` stands for those that were held out. `known_failure` is
    set if the project expected the case to fail.

    `candidates` are the submissions that the graded one was chosen from. The list is empty if there was no choice.
    `history` has the versions of the submission in their order, if `--history` asked for them. `agent` is the backend
    whose CLI ran. It differs from the case's own if that runs an agent for each instance, as `instances` tells. It is
    null if no agent ran, and in records of older versions.
    """

    schema: int = SCHEMA
    case: CaseNames
    agent: str | None = None
    replicates: PlannedReplicates | None = None
    session: str = ""
    try_number: int = 1
    started_at: str | None = None
    overrides: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    scripted: bool
    played_from: str | None = None
    translated: str | None = None
    ending: Ending
    cause: Cause
    outcome: str
    tests: dict[str, str] = field(default_factory=dict)
    explanation: str
    known_failure: KnownFailure | None = None
    score: Score | None = None
    usage: CaseUsage = CaseUsage()
    usage_by_model: dict[str, Usage] = field(default_factory=dict)
    compactions: int = 0
    denials: int = 0
    differences: list[Difference] = field(default_factory=list)
    limits: Limits
    pass_solve_rate: float | None = None
    solved_when: str | None = None
    max_steps: int | None = None
    environment_arguments: dict[str, Any] | None = None
    visibility: str | None = None
    counts: dict[str, Any] | None = None
    state_fidelity: str | None = None
    timing: Timing = Timing()
    telemetry: Telemetry | None = None
    versions: Versions
    digests: Digests = Digests()
    conditions: dict[str, str | None] = field(default_factory=dict)
    conditions_digest: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    earlier: list[EarlierSession] = field(default_factory=list)
    seed_key: str | None = None
    seeds_digest: str | None = None
    counts_digest: str | None = None
    submission: dict[str, Any] | None = None
    candidates: list[CandidateTried] = field(default_factory=list)
    history: list[HistoryPoint] = field(default_factory=list)
    instances: list[InstanceRecord] = field(default_factory=list)
    mcp_servers: dict[str, str] = field(default_factory=dict)
    unknown_events: int = 0
    unknown_sample: dict[str, Any] | None = None
    malformed_lines: int = 0
    malformed_sample: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    weaker_limits: list[str] = field(default_factory=list)
    sandbox_guarantees: list[str] = field(default_factory=list)
    artifacts: str | None = None
