"""The data of a case. All rooms of the harness share it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal, get_args

from msgspec import Meta, Struct, field

from harness.bounds import Count, Dollars, Positive, Seconds, Words
from harness.budget_conf import BudgetConf, PaceConf
from harness.environment_conf import EnvironmentConf
from harness.grading import EvaluationConf
from harness.signing_conf import SigningConf

ExtraField = Annotated[str, Meta(pattern=r"^(body|headers|query)\.\S+$")]

SUBMISSION = "submission"
"""The name that stands for the backend of a case of `--submission`, also in the case's id."""

NO_MODEL = "none"
"""The name that stands for the model and the provider of a case without an agent."""

BackendKind = Literal["agent", "direct", "per_instance", "program"]


class BackendConf(Struct, frozen=True, forbid_unknown_fields=True):
    """One coding-agent CLI, or a baseline to compare with (`conf/backend/*.yaml`).

    `kind` is `agent`, or that of a baseline, which `backends: all` leaves out. `direct` asks a model without tools. For
    `per_instance`, an agent sees the one instance that its program must solve. `program` grades a program that is
    there already, so it has no agent and no model. `options` are settings of the adapter, or of the baseline.

    `adapter` is the import path of an adapter in the project or an installed package: `mylab.backends:BACKEND`. `None`
    means the one that is known by the backend's name.
    """

    name: str
    kind: BackendKind = "agent"
    adapter: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model costs, in US dollars per million tokens.

    `cache_write_1h` is the price of tokens that the cache keeps for an hour. A cache price of `None` means the same
    price as `input`; for `cache_write_1h`, it means the same price as `cache_write`.
    """

    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    cache_write_1h: Dollars | None = None

    def cost_usd(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        cache_read_tokens: int,
        cache_write_tokens: int,
        cache_write_1h_tokens: int = 0,
    ) -> float:
        """Return the cost in US dollars.

        Each token counts in exactly one of the first four numbers. The last is a part of `cache_write_tokens`.
        """
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        parts = (
            (input_tokens, self.input),
            (output_tokens, self.output),
            (cache_read_tokens, read),
            (cache_write_tokens - cache_write_1h_tokens, write),
            (cache_write_1h_tokens, write if self.cache_write_1h is None else self.cache_write_1h),
        )
        return sum(tokens * dollars for tokens, dollars in parts) / 1e6


class ModelConf(Struct, frozen=True, forbid_unknown_fields=True):
    """A model: its provider, the name by which the provider knows it, and the context that it needs, in tokens.

    If `served_as` is `None`, the provider knows the model by `name`. `price` overrides the provider's price list.
    Without a price in either place, the ledger records no cost, and a suite with `limits.cost_usd` is refused.
    `unknown` accepts that this limit does not hold for the model. For the scripted provider, `script` is the script to
    play, by name (`conf/scripts/NAME.yaml`) or by a path from the project's root folder; `None` means the script named
    after the environment. For the cassette provider, it is the model whose recorded answers are played; `None` means
    the model of this name.

    The other fields are for a model that is served on this machine. It needs `gpus` whole GPUs with `gpu_memory_gb`
    free on each (0: it runs on the CPU). One server takes `parallel` sessions at a time. The weights must have this
    `digest`. `server` holds the options of its kind of server (`harness/servers/`).
    """

    name: str
    provider: str
    served_as: str | None = None
    context: Count = 65_536
    script: str | None = None
    price: Price | Literal["unknown"] | None = None
    gpus: Annotated[int, Meta(ge=0)] = 0
    gpu_memory_gb: Positive | None = None
    parallel: Count = 1
    digest: str | None = None
    server: dict[str, Any] = field(default_factory=dict)

    @property
    def asked_as(self) -> str:
        """The name by which the provider knows the model."""
        return self.served_as or self.name


Wire = Literal["openai_chat", "anthropic_messages", "openai_responses", "google_generate"]
"""The API of a model: OpenAI Chat Completions, Anthropic Messages, OpenAI Responses, or Google generateContent."""

LocalKind = Literal["ollama", "vllm", "llamacpp"]

LOCAL_KINDS: Final[tuple[LocalKind, ...]] = get_args(LocalKind)
"""The kinds of provider that serve models on this machine."""

ProviderKind = Literal["scripted", "cassette", "remote", LocalKind]


class ProviderConf(Struct, frozen=True, forbid_unknown_fields=True):
    """Who serves models, and over which wires. A backend uses the first of these wires that it speaks.

    If it speaks none of them, the gateway translates to the first one (`harness.gateway.translation`).

    `kind` is `scripted`, `cassette` (plays what a model once answered), `remote` (a service at `base_url`, the address
    before `/v1`), or a server on this machine: `ollama`, `vllm` or `llamacpp`. Each kind of server has its own
    `options`. It needs a `base_url` only if it is already running.

    The host's variable `key_variable` holds the key. The gateway sends it in the header `key_header`; for
    `authorization` it sends a bearer token. `signing` is for a service that needs more than a fixed key. `prices` is
    the provider's name in the price list `genai-prices`. With `None`, it has no prices. All runs of this user on this
    machine share its `daily_budget`, which begins anew each day at 00:00 UTC, and its `pace`.

    `paths` has the path of each wire that the service serves elsewhere than usual. `anthropic_version` is the version
    that the body of an Anthropic request carries if the model stands in the path. In `base_url`, `paths` and `signing`,
    `{NAME}` stands for the host's variable NAME, and `{NAME:text}` for the text if that is not set.
    """

    name: str
    kind: ProviderKind
    wires: list[Wire]
    base_url: str | None = None
    key_variable: Annotated[str, Meta(min_length=1)] | None = None
    key_header: str = "authorization"
    signing: SigningConf | None = None
    paths: dict[Wire, str] = field(default_factory=dict)
    anthropic_version: str | None = None
    prices: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    daily_budget: BudgetConf | None = None
    pace: PaceConf | None = None

    @property
    def scripted(self) -> bool:
        """Whether the answers were written or recorded beforehand."""
        return self.kind in {"scripted", "cassette"}


MODEL_OF_NONE: Final = ModelConf(NO_MODEL, NO_MODEL)
PROVIDER_OF_NONE: Final = ProviderConf(NO_MODEL, kind="remote", wires=[])


class PromptConf(Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent is told (`conf/prompt/*.yaml`). Each text is a Jinja2 template.

    The task's prompt consists of `task`, `interface`, `access`, `tools`, `limits` and `rules`, in this order. A part
    that renders to nothing is left out. Without `tell_limits`, so is `limits`. Every CLI gets the standing
    `instructions` (CLAUDE.md, AGENTS.md). `resume` is the prompt of an attempt that continues an earlier attempt's
    conversation.
    """

    name: str
    task: str
    interface: str
    tools: str
    limits: str
    rules: str
    instructions: str
    resume: str
    tell_limits: bool = True
    access: str = ""


class SandboxConf(Struct, frozen=True, forbid_unknown_fields=True):
    """How a session is sealed in (`conf/sandbox/*.yaml`). `kind` is a kind of sandbox, such as `bubblewrap`.

    Every kind that seals keeps these limits: `max_processes`, `max_open_files` and `max_file_mb` bind the processes
    inside, `tmp_mb` is the size of their private /tmp (MB: 2**20 bytes). `options` are the knobs of the kind itself.
    """

    name: str
    kind: str
    max_processes: Count = 512
    max_open_files: Count = 4096
    max_file_mb: Count = 1024
    tmp_mb: Count = 1024
    options: dict[str, Any] = field(default_factory=dict)


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What a session may use, and the signs that it hangs. `None` means no limit. One MB is a million bytes.

    `turns` counts model responses. `tokens` counts input and output tokens, without cached input. The gateway counts
    `cost_usd` by the model's price. `wall_s` covers all attempts and the pauses between them, except the waiting for
    rate limits to end, which `wait_s` covers. `idle_s` is time without output and without model traffic. `output_mb` is
    standard output and standard error together. `memory_mb` and `processes` are those of the whole box. `disk_mb` is
    the size of workspace and home.

    A session hangs if an open model request brings no first byte for `first_byte_s`, or no further byte for
    `stalled_s`. It hangs if the CLI is still running and silent `after_final_s` after its last event. It also hangs
    after this many responses in a row that were empty (`empty_turns`), brought only compactions (`compactions`), or
    failed (`failed_requests`). The last limit cuts the CLI's own retries short.

    `grace_s` is the time between SIGTERM and SIGKILL. An ending that is retried by the table of endings is retried
    `retries` times: first after `retry_s` seconds, then each time after four times as long. A rate limit does not count
    as a retry: the case waits until the limit ends, as often as `wait_s` allows.

    `on_overflow` says what follows an ending by overflow. `end`: nothing. `compact`: if the conversation no longer fits
    the model's context, the CLI compacts it and goes on, at most twice. `continue`: if the last answer was cut by the
    model's output limit, the agent goes on once and is asked to be brief. Neither counts as a retry.
    """

    turns: Count | None = 50
    tokens: Count | None = None
    cost_usd: Positive | None = None
    wall_s: Seconds = 1800.0
    wait_s: Annotated[float, Meta(ge=0, le=1e9)] = 21_600.0
    idle_s: Seconds = 300.0
    output_mb: Positive | None = 256.0
    memory_mb: Positive | None = 8192.0
    processes: Count | None = 256
    disk_mb: Positive | None = 4096.0
    first_byte_s: Seconds = 300.0
    stalled_s: Seconds = 60.0
    after_final_s: Seconds = 10.0
    empty_turns: Count = 3
    compactions: Count = 3
    failed_requests: Count = 3
    grace_s: Seconds = 3.0
    retries: Annotated[int, Meta(ge=0)] = 2
    retry_s: Seconds = 2.0
    on_overflow: Literal["end", "compact", "continue"] = "end"


class GatewayConf(Struct, frozen=True, forbid_unknown_fields=True):
    """What the gateway lets through. `extra_fields` are parts of a request that also go to the model's service.

    Each names a place as the lists in `harness/gateway/allowed/` do: `body.metadata`, `headers.x-team`, `query.beta`.
    """

    extra_fields: list[ExtraField] = field(default_factory=list)


class Exclusion(Struct, frozen=True, forbid_unknown_fields=True):
    """A rule that leaves combinations out of a suite. Every field that is given must match."""

    backend: str | None = None
    model: str | None = None
    environment: str | None = None


class SuiteConf(Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of cases (`conf/suite/*.yaml`).

    `backends: all` means every coding agent that has a file in `conf/backend/`, without baselines. `prompt` names the
    prompt of its cases; `None` means that of the root configuration. An environment's own prompt has precedence. All
    cases of a run share its `budget`, with any number of workers.
    """

    name: str
    backends: list[str] | Literal["all"]
    models: list[str]
    environments: list[str]
    replicates: Count = 1
    exclude: list[Exclusion] = field(default_factory=list)
    allow_no_sandbox: bool = False
    prompt: str | None = None
    budget: BudgetConf | None = None


class KnownFailure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A failure that is expected for a while (`conf/known_failures.yaml`).

    `case` is a shell pattern for the ids of cases. `reason` says why they fail. `issue` is the address or the number of
    the issue, or `None` if there is none. `until` is the last day on which the entry holds, in UTC.
    """

    case: Words
    reason: Words
    issue: Words | int | None = None
    until: date

    @property
    def told(self) -> str:
        """The reason and the issue, for people."""
        return self.reason if self.issue is None else f"{self.reason} ({self.issue})"


class ServerNeed(Struct, frozen=True):
    """The model server that a case needs on this machine. Cases with the same `key` can share one.

    The server takes `gpus` whole GPUs (0: a CPU slot), and serves `parallel` sessions at a time.
    """

    key: str
    gpus: int
    parallel: int


class Case(Struct, frozen=True):
    """One backend x model x environment x replicate. The backend reaches the model over `wire`.

    If its provider speaks another one, `translated` names that. `known_failure` is set if the project expects the case
    to fail. `budget` is that of the suite.
    """

    id: str
    backend: BackendConf
    model: ModelConf
    provider: ProviderConf
    wire: str
    environment: EnvironmentConf
    prompt: PromptConf
    sandbox: SandboxConf
    limits: Limits
    evaluation: EvaluationConf
    replicate: int = 1
    known_failure: KnownFailure | None = None
    gateway: GatewayConf = GatewayConf()
    budget: BudgetConf | None = None
    translated: str | None = None

    def __repr__(self) -> str:
        return f"Case({self.id!r})"

    @property
    def has_agent(self) -> bool:
        """Whether a model writes the case's program. If not, its model and provider are only names."""
        return self.backend.kind != "program"

    @property
    def scripted(self) -> bool:
        """Whether the answers were written or recorded beforehand. Such a result measures the pipeline only."""
        return self.provider.scripted

    @property
    def doubts(self) -> list[str]:
        """What makes the case's result doubtful before it runs: the first warnings of its record."""
        found: list[str] = []
        if self.limits.cost_usd is not None and self.model.price == "unknown":
            limit = f"limits.cost_usd={self.limits.cost_usd:g}"
            found.append(f"{limit} does not hold: the price of model {self.model.name} is `unknown`")
        if self.sandbox.kind == "none" and not self.scripted:
            found.append("sandbox none hides nothing: the agent and its program can read the private seed")
        if self.sandbox.kind == "none" and self.environment.visibility == "api":
            found.append("sandbox none hides nothing: the agent and its program can read the environment's source")
        return found

    def shared_limits(self) -> dict[str, BudgetConf | PaceConf | None]:
        """Return what the case shares with others, by its key in the configuration. `None` means no limit."""
        provider = f"provider.{self.provider.name}"
        return {
            "suite.budget": self.budget,
            f"{provider}.daily_budget": self.provider.daily_budget,
            f"{provider}.pace": self.provider.pace,
        }

    @property
    def server(self) -> ServerNeed | None:
        """The server that the case needs on this machine, or `None` if a remote service or a script answers."""
        if self.provider.kind not in LOCAL_KINDS:
            return None
        gpus = 0 if self.provider.base_url else self.model.gpus  # a server that is already running has its own
        return ServerNeed(f"{self.provider.name}/{self.model.name}", gpus, self.model.parallel)
