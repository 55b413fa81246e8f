"""The stages of a case, as the fixtures call them.

This module imports everything heavy, so it is itself imported only when a case first needs it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from backends.base import Backend
from backends.events import plain
from harness import hosting
from harness.agent.attempt import AttemptResult, run_attempt
from harness.agent.attempt_record import added_by_model, attempt_record, total_times, total_usage
from harness.agent.clock import SystemClock
from harness.agent.driver import Progress
from harness.agent.files import holds, set_aside
from harness.agent.overflow import FOLLOW_UPS
from harness.agent.prompt import PromptFacts, build_prompt, facts, render
from harness.agent.reconcile import reconcile
from harness.agent.retry import CliCan, Order, attempts
from harness.agent.setup import SessionSetup
from harness.case import Case, Limits, ModelConf, ProviderConf, ServerNeed
from harness.endings import CaseFault, ConfError, Ending
from harness.environments.factory import available, version_of
from harness.environments.factory import make_environment as make
from harness.environments.fingerprint import fingerprint
from harness.environments.hosted import HostedEnvironment
from harness.environments.rendering import render_fault
from harness.evaluation.counts import counts_digest
from harness.evaluation.handed_in import collect_submission, given_submission
from harness.evaluation.packages import installed_packages
from harness.evaluation.pictures import draw_pictures, wants_pictures
from harness.evaluation.printed import PolicyLog
from harness.evaluation.rollout import evaluate
from harness.evaluation.seeds import digest, episode_seeds
from harness.evaluation.submission import Submission
from harness.evaluation.summary import summarize
from harness.evaluation.versions import VersionKeeper
from harness.gateway.budget import Budget
from harness.gateway.purses import CasePurses
from harness.gateway.server import Gateway
from harness.grading import Score
from harness.http_host import HttpHost
from harness.live.line import CaseProgress, Live
from harness.models.cassettes import recorded
from harness.models.providers import Sources, model_server
from harness.offering import Access, hidden_from, mcp_config
from harness.results.record import Asked
from harness.results.record_builder import RecordBuilder
from harness.sandbox.base import guarantees_of
from harness.sandbox.dirs import SandboxDirs
from harness.sandbox.factory import prove
from harness.seed_key import PUBLIC, SeedKey
from harness.servers.acquire import Lease, acquire
from harness.servers.base import ServerMissing
from harness.servers.ollama import BARE, Ollama, OllamaMissing, find_ollama
from harness.servers.pool import ServerPool

__all__ = [
    "Access",
    "Budget",
    "Gateway",
    "HttpHost",
    "OllamaMissing",
    "ServerMissing",
    "ServerPool",
    "SessionSetup",
    "Sources",
    "VersionKeeper",
    "collect_submission",
    "given_submission",
    "grade",
    "hidden_from",
    "make_environment",
    "mcp_config",
    "missing_package",
    "model_server",
    "ollama_of",
    "prove",
    "recorded",
    "run_agent",
    "running_ollama",
    "show_progress",
]


_PUBLIC_SEEDS = (
    "the held-out episodes are public, because there is no private seed: run `proctor seed`, and grade again"
)

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
        return available(case.environment, hosting.keep)
    except ValueError as error:
        raise ConfError(f"conf/environment/{case.environment.name}.yaml: {error}") from error


def make_environment(case: Case) -> HostedEnvironment:
    """Return the case's environment. Raise `ConfError` for arguments that it does not accept."""
    try:
        return make(case.environment, hosting.keep)
    except ValueError as error:
        raise ConfError(f"conf/environment/{case.environment.name}.yaml: {error}") from error


def show_progress(case: Case, live: Live, purses: CasePurses | None = None) -> Callable[[Progress], None]:
    """Return a function that shows how far the session of a case is."""

    def show(so_far: Progress) -> None:
        live.show(
            CaseProgress(
                case=case.id,
                turn=so_far.turns,
                last_tool=so_far.last_tool or None,
                seconds=so_far.seconds,
                output_tokens=so_far.output_tokens,
                budget="" if purses is None else purses.latest,
                budget_at=0.0 if purses is None else purses.latest_at,
            )
        )

    return show


def run_agent(builder: RecordBuilder, setup: SessionSetup, environment: HostedEnvironment, live: Live) -> AttemptResult:
    """Run the CLI on the case's task, retry as the table of endings allows, and record in `builder` how it went.

    Return the last attempt, which decides the case. Raise again, after that, an exception that stopped the attempt from
    outside, such as `KeyboardInterrupt`.
    """
    case, backend = setup.case, setup.backend
    builder.versions |= {
        "cli": setup.cli.version,
        "cli_path": str(setup.cli.executable) if setup.cli.given else None,
        "model_digest": setup.model_server.digest,
    }
    builder.agent = backend.name
    server = setup.model_server
    builder.played_from = server.played_from
    builder.learn(server=server.version, server_context=server.context, gpu_driver=server.gpu_driver)
    _note_environment(builder, setup.dirs, environment)
    if backend.capabilities.mcp and setup.mcp.fault:
        builder.warnings.append(setup.mcp.fault)
    about = _facts(setup, environment)
    setup = msgspec.structs.replace(setup, instructions=render(case.prompt, "instructions", about))
    prompts = {Asked.TASK: build_prompt(case.prompt, about), Asked.GO_ON: render(case.prompt, "resume", about)}
    prompts |= FOLLOW_UPS | {Asked.COMPACT: backend.compact_prompt or ""}
    builder.save()
    before = len(builder.attempts)
    for result in attempts(
        lambda limits, order: _attempt(setup, prompts, limits, order),
        case.limits,
        budget=setup.budget,
        cli=CliCan(
            resume=backend.capabilities.resume,
            kept=lambda conversation: holds(setup.dirs.home, backend.conversation_files(conversation)),
            compact_alone=backend.compact_prompt is not None,
            totals_go_on=backend.quirks.totals_go_on,
        ),
        set_aside=lambda number, fresh: set_aside(setup.dirs.folder, before + number, fresh=fresh),
        waiting=lambda pause: live.show(f"{case.id}: {pause.told(datetime.now().astimezone())}"),
        clock=SystemClock(),
    ):
        _write_down(builder, result, backend)
        builder.telemetry = setup.mcp.use.told(builder.timing.get("agent_s"))
        builder.save()
        if result.raised is not None:
            raise result.raised
    builder.warnings += setup.model_server.warnings()
    builder.warnings += [setup.versions.fault] if setup.versions and setup.versions.fault else []
    return result


def _attempt(setup: SessionSetup, prompts: Mapping[Asked, str], limits: Limits, order: Order) -> AttemptResult:
    """Run one attempt. An error before its session begins becomes its ending."""
    try:
        return run_attempt(
            setup,
            prompts[order.asked],
            limits=limits,
            resume=order.conversation,
            asked=order.asked,
            acted=order.acted,
        )
    except CaseFault as error:
        return AttemptResult(ending=error.ending, explanation=str(error))


def _note_environment(builder: RecordBuilder, dirs: SandboxDirs, environment: HostedEnvironment) -> None:
    """Note what sandbox and environment these are, and keep the versions of all packages in the case's folder."""
    builder.versions |= {
        "sandbox": dirs.sandbox.version,
        "environment": version_of(builder.case.environment, builder.versions["harness"]),
    }
    builder.state_fidelity = environment.state_fidelity
    builder.sealing = {
        "sandbox_guarantees": list(guarantees_of(dirs.sandbox)),
        "weaker_limits": [*dirs.sandbox.weaker, *hosting.weaker()],
    }
    taken = fingerprint(builder.case.environment, environment)
    builder.learn(fingerprint=taken.digest)
    if taken.fault:
        doubt = f"environment {builder.case.environment.name} has no fingerprint: {taken.fault}"
        builder.warnings = list(dict.fromkeys([*builder.warnings, doubt]))
    builder.folder.make()
    builder.folder.packages.write_bytes(msgspec.json.format(msgspec.json.encode(installed_packages())) + b"\n")


def _facts(setup: SessionSetup, environment: HostedEnvironment) -> PromptFacts:
    case, backend = setup.case, setup.backend
    return facts(
        case.environment,
        case.evaluation,
        case.limits,
        description=environment.describe(),
        tools={tool: backend.tool_name(server.name, tool) for server in setup.servers for tool in server.tools},
        source=setup.access.source if setup.access else (),
        primitives=environment.granted.told,
    )


def _write_down(builder: RecordBuilder, result: AttemptResult, backend: Backend) -> None:
    session = result.session
    builder.end(result.ending, result.explanation)
    if result.digests.prompt and not result.resumed:
        builder.digests = result.digests
        if asked := result.first_request:
            builder.learn(api=asked.api, tools_sent=asked.tools, sampling=asked.sampling)
    builder.attempts.append(attempt_record(result))
    builder.usage = total_usage(builder.attempts)
    builder.timing |= total_times(builder.attempts)
    builder.differences += reconcile(
        session, result.metered, quirks=backend.quirks, stopped=result.stopped, attempt=len(builder.attempts)
    )
    if result.metered.leaked_calls:
        builder.warnings.append(
            f"{result.metered.leaked_calls} answers hold a tool call as text, which the CLI cannot carry out: "
            "check the model server's parser of tool calls and its chat template"
        )
    builder.usage_by_model = added_by_model(builder.usage_by_model, session.usage_by_model)
    builder.compactions += session.compactions
    builder.denials += session.denials
    builder.mcp_servers = dict(session.mcp_servers)
    builder.unknown_events += session.unknown_events
    builder.unknown_sample = builder.unknown_sample or plain(session.unknown_sample)
    builder.malformed_lines += session.malformed_lines
    builder.malformed_sample = builder.malformed_sample or plain(session.malformed_sample)


def grade(
    builder: RecordBuilder,
    environment: HostedEnvironment,
    dirs: SandboxDirs,
    submission: Submission,
    live: Live,
    key: SeedKey,
) -> Score:
    """Play the held-out episodes and return the score. Their seeds are derived from `key` only now.

    Raise `HeldOutFault` if the environment fails.
    """
    case, folder = builder.case, builder.folder
    _note_environment(builder, dirs, environment)
    conf = case.evaluation
    seeds = episode_seeds(key, case.environment.name, conf.scheduled, salt=conf.seed)
    builder.seed_key, builder.seeds_digest = key.digest, digest(key, seeds)
    builder.counts_digest = counts_digest(key, environment.counts)
    if key is PUBLIC and not case.scripted:
        builder.warnings.append(_PUBLIC_SEEDS)
    with builder.timed("evaluation_s"), folder.scratch() as scratch:
        if submission.reason is None:  # what a policy sees of its place is the same as while it is developed
            shutil.copytree(submission.path, scratch / "submission")
            submission = msgspec.structs.replace(submission, path=scratch / "submission")
        score, episodes = evaluate(
            environment,
            submission,
            dirs.sandbox,
            conf=conf,
            seeds=seeds,
            scratch=scratch,
            files=folder,
            log=PolicyLog(folder.policy_log),
            progress=lambda done, scheduled: live.show(f"{case.id}: episode {done} of {scheduled}"),
        )
    builder.score = score
    doubt = environment.doubt()
    builder.warnings += [doubt] if doubt else []
    builder.save()
    if wants_pictures(case) and render_fault(case.environment, environment) is None:
        live.show(f"{case.id}: drawing episodes")
        with builder.timed("pictures_s"):
            builder.warnings += draw_pictures(environment, folder, episodes, seeds)
        builder.save()
    if score.solve_rate < case.environment.pass_solve_rate:
        why = summarize(score, episodes, case.environment.pass_solve_rate)
        builder.end(builder.ending, why if builder.ending is Ending.FINISHED else f"{why}; {builder.explanation}")
    return score
