"""The stages of a case, behind the fixtures; everything heavy is imported here, and this module when first used."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from backends.base import Backend
from harness.agent.attempt import AttemptResult, run_attempt
from harness.agent.attempt_record import attempt_record, total_times, total_usage
from harness.agent.cli import Cli
from harness.agent.clock import SystemClock
from harness.agent.driver import Progress
from harness.agent.files import set_aside
from harness.agent.prompt import RESUME, build_prompt
from harness.agent.reconcile import reconcile
from harness.agent.retry import attempts
from harness.case import Case, Limits, ModelConf, ProviderConf, Score, ServerNeed
from harness.commands.decode import sample
from harness.endings import ConfError, Ending
from harness.environments.base import Environment
from harness.environments.factory import available, version_of
from harness.environments.factory import make_environment as make
from harness.evaluation.policy import PolicyError, PolicyHost
from harness.evaluation.rollout import evaluate
from harness.evaluation.scratch import discard
from harness.evaluation.seeds import digest, episode_seeds
from harness.evaluation.submission import Submission, collect
from harness.gateway.server import Gateway
from harness.http_host import HttpHost
from harness.live.line import CaseProgress, Live
from harness.mcp.server import McpServer
from harness.models.cassettes import recorded
from harness.models.model_server import ModelServer
from harness.models.providers import Sources, model_server
from harness.results.record_builder import RecordBuilder
from harness.sandbox.base import SandboxError
from harness.sandbox.dirs import SandboxDirs
from harness.sandbox.factory import make_sandbox
from harness.sandbox.paths import interpreter_paths
from harness.sandbox.probe import probe
from harness.servers.base import ServerFault, ServerMissing
from harness.servers.ollama import BARE, Ollama, OllamaMissing, find_ollama
from harness.servers.pool import ServerPool
from harness.servers.shared import Lease, acquire

__all__ = [
    "Gateway",
    "HttpHost",
    "OllamaMissing",
    "ServerMissing",
    "ServerPool",
    "Sources",
    "collect_submission",
    "grade",
    "interpreter_paths",
    "make_environment",
    "make_sandbox",
    "mcp_config",
    "missing_package",
    "model_server",
    "ollama_of",
    "probe",
    "recorded",
    "run_agent",
    "running_ollama",
]


_SHARED_BY = 1000
"""How many may use a server without a model at a time: any number."""


def ollama_of(lease: Lease) -> Ollama:
    """The Ollama server of that lease."""
    return Ollama(url=lease.url, version=lease.facts.version)


@contextmanager
def running_ollama(run_folder: Path, progress: Callable[[str], None]) -> Iterator[Ollama]:
    """The Ollama server that answers at OLLAMA_HOST, or else one that is started, on the CPU and without a model.

    Raises `OllamaMissing`, and `ServerFault` where it does not start.
    """
    found = find_ollama()
    if found.url:
        yield found
        return
    need, model = ServerNeed("ollama/bare", 0, _SHARED_BY), ModelConf("bare", "ollama", parallel=_SHARED_BY)
    provider = ProviderConf("ollama", "ollama", wires=[])
    with acquire(need, model, provider, kind=BARE, run_folder=run_folder, progress=progress) as lease:
        yield ollama_of(lease)


def missing_package(case: Case) -> str | None:
    """Return why the case's environment cannot run on this machine, or None. Raise `ConfError` for a wrong kind."""
    try:
        return available(case.environment)
    except ValueError as error:
        raise ConfError(f"conf/environment/{case.environment.name}.yaml: {error}") from error


def make_environment(case: Case) -> Environment:
    """The case's environment. Raises `ConfError` for arguments that it does not take."""
    try:
        return make(case.environment)
    except ValueError as error:
        raise ConfError(f"conf/environment/{case.environment.name}.yaml: {error}") from error


def mcp_config(environment: Environment, dirs: SandboxDirs, http_host: HttpHost) -> McpServer:
    """The case's MCP server; its `render_policy` runs the agent's program in a sandbox of its own."""

    @contextmanager
    def open_policy(approach_dir: str) -> Iterator[PolicyHost]:
        with TemporaryDirectory(dir=dirs.folder, prefix="policy-") as scratch:
            copied = collect(dirs.workspace, Path(scratch) / "submission", folder=approach_dir)
            if copied.reason:
                raise PolicyError(copied.reason)
            with PolicyHost(dirs.sandbox, copied.path, Path(scratch), environment.spaces()) as policy:
                yield policy

    errors = (PolicyError, SandboxError)
    return McpServer(environment, dirs.folder / "renders", open_policy, errors, http_host)


def run_agent(
    builder: RecordBuilder,
    *,
    backend: Backend,
    cli: Cli,
    environment: Environment,
    dirs: SandboxDirs,
    gateway: Gateway,
    model_server: ModelServer,
    mcp: McpServer,
    live: Live,
) -> AttemptResult:
    """Run the CLI on the case's task and write down in `builder` how it went."""
    case = builder.case
    builder.versions |= {
        "cli": cli.version,
        "model_digest": model_server.digest,
        "sandbox": dirs.sandbox.version,
        "environment": version_of(case.environment, builder.versions["harness"]),
    }

    def progress(so_far: Progress) -> None:
        live.show(
            CaseProgress(
                case=case.id,
                turn=so_far.turns,
                last_tool=so_far.last_tool or None,
                seconds=so_far.seconds,
                output_tokens=so_far.output_tokens,
            )
        )

    prompt = build_prompt(
        description=environment.describe(),
        episodes=case.evaluation.episodes,
        max_steps=case.environment.max_steps,
        episode_wall_s=case.evaluation.episode_wall_s,
        tool_names={tool: backend.tool_name(mcp.name, tool) for tool in mcp.tools if backend.capabilities.mcp},
    )

    def run(limits: Limits, conversation: str | None) -> AttemptResult:
        try:
            return run_attempt(
                case=case,
                backend=backend,
                cli=cli,
                prompt=RESUME if conversation else prompt,
                dirs=dirs,
                gateway=gateway,
                model_server=model_server,
                mcp=mcp,
                progress=progress,
                limits=limits,
                resume=conversation,
            )
        except SandboxError as error:
            return AttemptResult(ending=Ending.SANDBOX_FAILED, explanation=str(error))
        except ServerFault as error:
            return AttemptResult(ending=Ending.MODEL_UNREACHABLE, explanation=str(error))

    def aside(number: int, fresh: bool) -> None:
        set_aside(dirs.folder, number, fresh=fresh)

    for result in attempts(
        run,
        case.limits,
        resumes=backend.capabilities.resume,
        set_aside=aside,
        waiting=lambda seconds: live.show(f"{case.id}: retry in {math.ceil(seconds)} s"),
        clock=SystemClock(),
    ):
        _write_down(builder, result, backend)
    builder.warnings += model_server.warnings()
    if result.ending is Ending.INTERRUPTED:
        raise KeyboardInterrupt
    return result


def _write_down(builder: RecordBuilder, result: AttemptResult, backend: Backend) -> None:
    session = result.session
    builder.ending, builder.explanation = result.ending, result.explanation
    builder.attempts.append(attempt_record(result))
    builder.usage = total_usage(builder.attempts)
    builder.timing |= total_times(builder.attempts)
    builder.differences += reconcile(
        session, result.metered, quirks=backend.quirks, stopped=result.stopped, attempt=len(builder.attempts)
    )
    builder.mcp_servers = dict(session.mcp_servers)
    builder.unknown_events += session.unknown_events
    builder.unknown_sample = builder.unknown_sample or sample(session.unknown_sample)
    builder.malformed_lines += session.malformed_lines
    builder.malformed_sample = builder.malformed_sample or sample(session.malformed_sample)


def collect_submission(builder: RecordBuilder) -> Submission:
    """Copy out what the agent left, now that it is dead; its home, which only a failed session needs, is removed."""
    submission = collect(builder.folder / "workspace", builder.folder / "submission")
    discard(builder.folder / "home")
    builder.submission = {
        "digest": submission.digest,
        "files": sorted(submission.files),
        "left_out": list(submission.left_out),
    }
    return submission


def grade(
    builder: RecordBuilder, environment: Environment, dirs: SandboxDirs, submission: Submission, live: Live
) -> Score:
    """Play the held-out episodes, whose seeds are drawn only now."""
    case = builder.case
    if submission.reason is not None:
        finished = builder.ending is Ending.FINISHED
        builder.explanation = submission.reason if finished else f"{submission.reason}; {builder.explanation}"
    conf = case.evaluation
    seeds = episode_seeds(conf.seed, case.environment.name, case.replicate, conf.episodes)
    builder.seeds_digest = digest(seeds)
    with builder.timed("evaluation_s"), TemporaryDirectory(dir=builder.folder, prefix="policy-") as scratch:
        builder.score, _episodes = evaluate(
            environment,
            submission,
            dirs.sandbox,
            conf=conf,
            seeds=seeds,
            scratch=Path(scratch),
            episodes_file=builder.folder / "episodes.jsonl",
            progress=lambda done, scheduled: live.show(f"{case.id}: episode {done} of {scheduled}"),
        )
    return builder.score
