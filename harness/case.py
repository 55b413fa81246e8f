"""What a case is: plain data, shared by every room of the harness."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

from msgspec import Meta, Struct, field

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Positive = Annotated[float, Meta(gt=0)]
Dollars = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class BackendConf(Struct, frozen=True, forbid_unknown_fields=True):
    """One coding-agent CLI (`conf/backend/*.yaml`); `options` are the knobs of its adapter.

    `adapter` is the import path of an adapter in the project or an installed package: `mylab.backends:BACKEND`. None
    means the one that is known by the backend's name.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    adapter: str | None = None


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model costs, in US dollars per million tokens; cached ones cost as `input` where nothing else is said."""

    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None

    def cost_usd(
        self, *, input_tokens: int, output_tokens: int, cache_read_tokens: int, cache_write_tokens: int
    ) -> float:
        """US dollars for so many tokens, counted disjointly."""
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        parts = (
            (input_tokens, self.input),
            (output_tokens, self.output),
            (cache_read_tokens, read),
            (cache_write_tokens, write),
        )
        return sum(tokens * dollars for tokens, dollars in parts) / 1e6


class ModelConf(Struct, frozen=True, forbid_unknown_fields=True):
    """A model, who serves it and under which name (none: its own), and the context (in tokens) it needs.

    `price` goes before the one that the provider's price list knows; where neither is, the ledger know no cost.
    `script` is the script that the scripted provider plays, by name (`conf/scripts/NAME.yaml`) or by a path from the
    project's root folder; None means the one named after the environment. For the cassette provider it is the model
    whose recorded answers it plays; None means the model of this name.

    Of a model that is served on this machine: it needs `gpus` whole GPUs with `gpu_memory_gb` free on each (0: it runs
    on the CPU); one server of it takes `parallel` sessions at a time; its weights must have this `digest`; `server` are
    the options of its kind of server (`harness/servers/`).
    """

    name: str
    provider: str
    served_as: str | None = None
    context: Count = 65_536
    script: str | None = None
    price: Price | None = None
    gpus: Annotated[int, Meta(ge=0)] = 0
    gpu_memory_gb: Positive | None = None
    parallel: Count = 1
    digest: str | None = None
    server: dict[str, Any] = field(default_factory=dict)

    @property
    def asked_as(self) -> str:
        """The name by which it is asked for."""
        return self.served_as or self.name


Wire = Literal["openai_chat", "anthropic_messages", "openai_responses", "google_generate"]
"""How a model is asked: OpenAI Chat Completions, Anthropic Messages, OpenAI Responses, Google generateContent."""

LocalKind = Literal["ollama", "vllm", "llamacpp"]

LOCAL_KINDS: Final[tuple[LocalKind, ...]] = get_args(LocalKind)
"""Kinds of provider that serve models on this machine."""

ProviderKind = Literal["scripted", "cassette", "remote", LocalKind]


class ProviderConf(Struct, frozen=True, forbid_unknown_fields=True):
    """Who serves models, and over which wires; a backend is asked by the first of them that it speaks.

    `kind` is `scripted`, `cassette` (plays what a model once answered), `remote` (a service at `base_url`, the address
    before `/v1`), or a server that runs on this machine: `ollama`, `vllm`, `llamacpp`, with `options` of its own and a
    `base_url` only where one runs already.
    The host's variable `key_variable` holds the key, which goes into `key_header` (`authorization`: as a bearer token).
    `prices` is the name of the provider in the price list `genai-prices`; none: it has no prices.
    """

    name: str
    kind: ProviderKind
    wires: list[Wire]
    base_url: str | None = None
    key_variable: Annotated[str, Meta(min_length=1)] | None = None
    key_header: str = "authorization"
    prices: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


class EnvironmentConf(Struct, frozen=True, forbid_unknown_fields=True):
    """A problem: the adapter (`kind`), its arguments, the step limit, and the solve rate that passes.

    `kind` is `maze`, `gymnasium`, `kinder`, or the import path of an adapter class: `mylab.envs:Door`. `needs_mcp`
    says that the problem cannot be solved without the tools of its MCP server; a backend without MCP is refused.
    """

    name: str
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)
    max_steps: Count = 1000
    pass_solve_rate: Share = 0.9
    needs_mcp: bool = False


class SandboxConf(Struct, frozen=True, forbid_unknown_fields=True):
    """How a session is sealed in. `kind`: `bubblewrap`, or `none` (debugging: seals nothing).

    `max_processes`, `max_open_files` and `max_file_mb` become resource limits of the sealed processes,
    `tmp_mb` the size of its private /tmp.
    """

    name: str
    kind: str
    max_processes: Count = 512
    max_open_files: Count = 4096
    max_file_mb: Count = 1024
    tmp_mb: Count = 1024


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What a session may use (none: no limit), and the signs by which a session that hangs is known.

    `turns` are model responses; `tokens` input and output tokens, cached input left out; `cost_usd` is counted
    by the gateway where the model has a price, else by the CLI. `wall_s` covers all attempts and the waiting between
    them, `idle_s` is without output and without model traffic. `output_mb` is standard output, `memory_mb` and
    `processes` are those of the whole box, `disk_mb` the size of workspace and home (MB: a million bytes).

    A session hangs when an open model request brings no first byte for `first_byte_s` or no further one for
    `stalled_s`; when the CLI lives on, silent, for `after_final_s` after its last event; when so many responses in a
    row were empty (`empty_turns`), brought nothing but compactions (`compactions`), or failed (`failed_requests`: the
    CLI's own retries are cut short there).

    `grace_s` lies between SIGTERM and SIGKILL. What the table says is retried is retried `retries` times, after
    `retry_s` seconds and then each time four times as long.
    """

    turns: Count | None = 50
    tokens: Count | None = None
    cost_usd: Positive | None = None
    wall_s: Seconds = 1800.0
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


class EvaluationConf(Struct, frozen=True, forbid_unknown_fields=True):
    """How a submission is graded: number of held-out episodes, seconds an episode may take, the private seed."""

    episodes: Count = 20
    episode_wall_s: Seconds = 60.0
    seed: int = 0


class Exclusion(Struct, frozen=True, forbid_unknown_fields=True):
    """A rule that leaves combinations out: every field that is given must match."""

    backend: str | None = None
    model: str | None = None
    environment: str | None = None


class SuiteConf(Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of cases (`conf/suite/*.yaml`).

    `backends: all` means every backend that has a file in `conf/backend/`.
    """

    name: str
    backends: list[str] | Literal["all"]
    models: list[str]
    environments: list[str]
    replicates: Count = 1
    exclude: list[Exclusion] = field(default_factory=list)
    allow_no_sandbox: bool = False


class ServerNeed(Struct, frozen=True):
    """The model server that a case needs on this machine: cases with the same `key` can share one.

    It takes `gpus` whole GPUs (0: a CPU slot), and `parallel` sessions at a time.
    """

    key: str
    gpus: int
    parallel: int


class Case(Struct, frozen=True):
    """One backend x model x environment x replicate; its backend asks the model over `wire`."""

    id: str
    backend: BackendConf
    model: ModelConf
    provider: ProviderConf
    wire: str
    environment: EnvironmentConf
    sandbox: SandboxConf
    limits: Limits
    evaluation: EvaluationConf
    replicate: int = 1

    @property
    def scripted(self) -> bool:
        """Whether the answers were there beforehand, written or recorded: such a result measures the pipeline only."""
        return self.provider.kind in {"scripted", "cassette"}

    @property
    def server(self) -> ServerNeed | None:
        """The server it needs on this machine; none where a service or a script answers."""
        if self.provider.kind not in LOCAL_KINDS:
            return None
        gpus = 0 if self.provider.base_url else self.model.gpus  # a server that runs already has its own
        return ServerNeed(f"{self.provider.name}/{self.model.name}", gpus, self.model.parallel)


def parameters_of(nodeid: str) -> str:
    """What pytest's id of a test says of its parameters: the id of its case, where it has no others."""
    return nodeid.rpartition("[")[2].removesuffix("]")


class Score(Struct, frozen=True, kw_only=True):
    """The grade of a submission over all scheduled episodes.

    `solved`, `crashed` and `timed_out` count episodes; `solve_rate` is solved / scheduled. `mean_steps` and
    `mean_reward` are over the episodes that ran to an end (terminated or out of steps), null when none did.
    `reason` says why nothing could be rolled out (no submission): then every episode counts as unsolved.
    """

    solve_rate: float
    episodes: int
    solved: int
    crashed: int
    timed_out: int
    mean_steps: float | None
    mean_reward: float | None
    reason: str | None = None
