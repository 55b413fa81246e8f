"""The stages of a case, as the fixtures call them.

This module imports everything heavy, so it is itself imported only when a case first needs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from backends.base import Backend
from backends.events import plain
from harness.agent.attempt import AttemptResult, run_attempt
from harness.agent.attempt_record import attempt_record, total_times, total_usage
from harness.agent.clock import SystemClock
from harness.agent.driver import Progress
from harness.agent.files import holds, set_aside
from harness.agent.prompt import RESUME, build_prompt
from harness.agent.reconcile import reconcile
from harness.agent.retry import attempts
from harness.agent.setup import SessionSetup
from harness.case import Case, Limits, ModelConf, ProviderConf, Score, ServerNeed
from harness.case_folder import CaseFolder
from harness.endings import CaseFault, ConfError, Ending
from harness.environments.base import Environment
from harness.environments.factory import available, version_of
from harness.environments.factory import make_environment as make
from harness.evaluation.policy import PolicyError, PolicyHost
from harness.evaluation.rollout import evaluate
from harness.evaluation.scratch import discard
from harness.evaluation.seeds import digest, episode_seeds
from harness.evaluation.submission import Submission, collect
from harness.evaluation.summary import summarize
from harness.gateway.budget import Budget
from harness.gateway.server import Gateway
from harness.http_host import HttpHost
from harness.live.line import CaseProgress, Live
from harness.mcp.server import McpServer
from harness.models.cassettes import recorded
from harness.models.providers import Sources, model_server
from harness.results.record_builder import RecordBuilder
from harness.sandbox.base import SandboxError
from harness.sandbox.dirs import SandboxDirs
from harness.sandbox.factory import make_sandbox
from harness.sandbox.probe import probe
from harness.servers.acquire import Lease, acquire
from harness.servers.base import ServerMissing
from harness.servers.ollama import BARE, Ollama, OllamaMissing, find_ollama
from harness.servers.pool import ServerPool

__all__ = [
    "Budget",
    "Gateway",
    "HttpHost",
    "OllamaMissing",
    "ServerMissing",
    "ServerPool",
    "SessionSetup",
    "Sources",
    "collect_submission",
    "given_submission",
    "grade",
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
    "show_progress",
]


_SHARED_BY = 1000
"""How many sessions can share a server that holds no model. The number stands for "any number"."""


def ollama_of(lease: Lease) -> Ollama:
    """Return the Ollama server of a lease."""
    return Ollama(url=lease.url, version=lease.facts.version)


@contextmanager
def running_ollama(run_folder: Path, progress: Callable[[str], None]) -> Iterator[Ollama]:
    """Yield the Ollama server at OLLAMA_HOST. If there is none, start one on the CPU, without a model.

    Raise `OllamaMissing` if Ollama is not installed, and `ServerFault` if the server does not start.
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
    """Return why the case's environment cannot run on this machine, or `None` if it can.

    Raise `ConfError` for an unknown kind of environment.
    """
    try:
        return available(case.environment)
    except ValueError as error:
        raise ConfError(f"conf/environment/{case.environment.name}.yaml: {error}") from error


def make_environment(case: Case) -> Environment:
    """Return the case's environment. Raise `ConfError` for arguments that it does not accept."""
    try:
        return make(case.environment)
    except ValueError as error:
        raise ConfError(f"conf/environment/{case.environment.name}.yaml: {error}") from error


def mcp_config(environment: Environment, dirs: SandboxDirs, http_host: HttpHost) -> McpServer:
    """Return the case's MCP server. Its tool `render_policy` runs the agent's program in a sandbox of its own."""

    @contextmanager
    def open_policy(approach_dir: str) -> Iterator[PolicyHost]:
        with dirs.folder.scratch() as scratch:
            copied = collect(dirs.workspace, scratch / "submission", folder=approach_dir)
            if copied.reason:
                raise PolicyError(copied.reason)
            with PolicyHost(dirs.sandbox, copied.path, scratch, environment.spaces()) as policy:
                yield policy

    errors = (PolicyError, SandboxError)
    return McpServer(environment, dirs.folder.renders, open_policy, errors, http_host)


def show_progress(case: Case, live: Live) -> Callable[[Progress], None]:
    """Return a function that shows how far the session of a case is."""

    def show(so_far: Progress) -> None:
        live.show(
            CaseProgress(
                case=case.id,
                turn=so_far.turns,
                last_tool=so_far.last_tool or None,
                seconds=so_far.seconds,
                output_tokens=so_far.output_tokens,
            )
        )

    return show


def run_agent(builder: RecordBuilder, setup: SessionSetup, environment: Environment, live: Live) -> AttemptResult:
    """Run the CLI on the case's task, retry as the table of endings allows, and record in `builder` how it went.

    Return the last attempt, which decides the case. Raise `KeyboardInterrupt` if the user interrupted it.
    """
    case, backend = setup.case, setup.backend
    builder.versions |= {
        "cli": setup.cli.version,
        "model_digest": setup.model_server.digest,
        "sandbox": setup.dirs.sandbox.version,
        "environment": version_of(case.environment, builder.versions["harness"]),
    }
    prompt = _prompt(setup, environment)

    def run(limits: Limits, conversation: str | None) -> AttemptResult:
        try:
            return run_attempt(setup, RESUME if conversation else prompt, limits=limits, resume=conversation)
        except CaseFault as error:
            return AttemptResult(ending=error.ending, explanation=str(error))

    for result in attempts(
        run,
        case.limits,
        budget=setup.budget,
        resumes=backend.capabilities.resume,
        kept=lambda conversation: holds(setup.dirs.home, backend.conversation_files(conversation)),
        set_aside=lambda number, fresh: set_aside(setup.dirs.folder, number, fresh=fresh),
        waiting=lambda seconds: live.show(f"{case.id}: retry in {math.ceil(seconds)} s"),
        clock=SystemClock(),
    ):
        _write_down(builder, result, backend)
    builder.warnings += setup.model_server.warnings()
    if result.ending is Ending.INTERRUPTED:
        raise KeyboardInterrupt
    return result


def _prompt(setup: SessionSetup, environment: Environment) -> str:
    case, backend, mcp = setup.case, setup.backend, setup.mcp
    return build_prompt(
        description=environment.describe(),
        episodes=case.evaluation.episodes,
        max_steps=case.environment.max_steps,
        episode_wall_s=case.evaluation.episode_wall_s,
        tool_names={tool: backend.tool_name(mcp.name, tool) for tool in mcp.tools if backend.capabilities.mcp},
    )


def _write_down(builder: RecordBuilder, result: AttemptResult, backend: Backend) -> None:
    session = result.session
    builder.end(result.ending, result.explanation)
    builder.attempts.append(attempt_record(result))
    builder.usage = total_usage(builder.attempts)
    builder.timing |= total_times(builder.attempts)
    builder.differences += reconcile(
        session, result.metered, quirks=backend.quirks, stopped=result.stopped, attempt=len(builder.attempts)
    )
    builder.mcp_servers = dict(session.mcp_servers)
    builder.unknown_events += session.unknown_events
    builder.unknown_sample = builder.unknown_sample or plain(session.unknown_sample)
    builder.malformed_lines += session.malformed_lines
    builder.malformed_sample = builder.malformed_sample or plain(session.malformed_sample)


def collect_submission(builder: RecordBuilder) -> Submission:
    """Copy out what the agent left, then remove the agent's home.

    Only graded sessions come here, so a session that left nothing to grade keeps its home.
    """
    folder = builder.folder
    submission = collect(folder.workspace, folder.submission)
    discard(folder.home)
    _keep_digests(builder, submission)
    return submission


def _keep_digests(builder: RecordBuilder, submission: Submission) -> None:
    builder.submission = {
        "digest": submission.digest,
        "files": sorted(submission.files),
        "left_out": list(submission.left_out),
    }


def given_submission(builder: RecordBuilder, given: object) -> Submission:
    """Return the submission that a test is to grade. A folder is copied first, and the record says where it is from.

    Raise `ConfError` if `given` is neither a submission nor a folder.
    """
    if isinstance(given, Submission):
        submission = given
    elif isinstance(given, str | Path) and Path(given).is_dir():
        submission = _copied(Path(given).absolute(), builder.folder)
    else:
        raise ConfError(f"the fixture `submission` must return a folder or a Submission, not {given!r}")
    if not builder.attempts:
        source = given.path if isinstance(given, Submission) else given
        builder.end(Ending.FINISHED, f"the submission is {source}; no agent ran")
    _keep_digests(builder, submission)
    return submission


def _copied(given: Path, folder: CaseFolder) -> Submission:
    """Copy the folder to where the submission of the case lies. The folder may be just there."""
    folder.path.mkdir(parents=True, exist_ok=True)
    with folder.scratch() as scratch:
        try:
            copied = collect(given, scratch / "submission")
        except ValueError as error:
            raise ConfError(str(error)) from error
        if folder.submission.exists():
            discard(folder.submission)
        copied.path.rename(folder.submission)
    return msgspec.structs.replace(copied, path=folder.submission)


def grade(
    builder: RecordBuilder, environment: Environment, dirs: SandboxDirs, submission: Submission, live: Live
) -> Score:
    """Play the held-out episodes and return the score. Their seeds are drawn only now."""
    case, folder = builder.case, builder.folder
    conf = case.evaluation
    seeds = episode_seeds(conf.seed, case.environment.name, case.replicate, conf.episodes)
    builder.seeds_digest = digest(seeds)
    with builder.timed("evaluation_s"), folder.scratch() as scratch:
        score, episodes = evaluate(
            environment,
            submission,
            dirs.sandbox,
            conf=conf,
            seeds=seeds,
            scratch=scratch,
            episodes_file=folder.episodes,
            progress=lambda done, scheduled: live.show(f"{case.id}: episode {done} of {scheduled}"),
        )
    builder.score = score
    if score.solve_rate < case.environment.pass_solve_rate:
        why = summarize(score, episodes, case.environment.pass_solve_rate)
        builder.end(builder.ending, why if builder.ending is Ending.FINISHED else f"{why}; {builder.explanation}")
    return score
