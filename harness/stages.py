"""The stages of a case, behind the fixtures; everything heavy is imported here, and this module when first used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from backends.base import Backend
from backends.session import Session
from harness.agent.attempt import AttemptResult, run_attempt
from harness.agent.cli import Cli
from harness.agent.model_server import ModelServer, scripted_server
from harness.agent.prompt import build_prompt
from harness.case import ENDINGS, Case, ConfError, Score
from harness.environments.base import Environment
from harness.environments.factory import available
from harness.environments.factory import make_environment as make
from harness.evaluation.policy import PolicyError, PolicyHost
from harness.evaluation.rollout import evaluate
from harness.evaluation.scratch import discard
from harness.evaluation.seeds import digest, episode_seeds
from harness.evaluation.submission import Submission, collect
from harness.gateway.server import Gateway
from harness.http_host import HttpHost
from harness.mcp.config import McpConfig
from harness.report.live import LiveLine
from harness.results.draft import Draft
from harness.results.record import Attempt, Usage, UsageTotals
from harness.sandbox.base import SandboxError
from harness.sandbox.factory import make_sandbox
from harness.sandbox.paths import interpreter_paths
from harness.sandbox.probe import probe
from harness.sandbox.workplace import Workplace
from harness.servers.ollama import OllamaMissing, find_ollama

__all__ = [
    "Gateway",
    "HttpHost",
    "OllamaMissing",
    "collect_submission",
    "find_ollama",
    "grade",
    "interpreter_paths",
    "make_environment",
    "make_sandbox",
    "mcp_config",
    "missing_package",
    "model_server",
    "probe",
    "run_agent",
]


def model_server(case: Case, root: Path) -> ModelServer:
    """What serves the case's model. Raises `ConfError` for a kind of provider that there is not."""
    if case.provider.kind == "scripted":
        return scripted_server(case, root)
    raise ConfError(
        f"conf/provider/{case.provider.name}.yaml: provider.{case.provider.name}.kind: "
        f"there is no kind {case.provider.kind}; choose from: scripted"
    )


def missing_package(case: Case) -> str | None:
    """Why the case's environment cannot run on this machine, or none. Raises `ConfError` for an unknown kind."""
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


def mcp_config(environment: Environment, workplace: Workplace, http_host: HttpHost) -> McpConfig:
    """The case's MCP server; its `render_policy` runs the agent's program in a sandbox of its own."""

    @contextmanager
    def open_policy(approach_dir: str) -> Iterator[PolicyHost]:
        with TemporaryDirectory(dir=workplace.folder, prefix="policy-") as scratch:
            copied = collect(workplace.workspace, Path(scratch) / "submission", folder=approach_dir)
            if copied.reason:
                raise PolicyError(copied.reason)
            with PolicyHost(workplace.sandbox, copied.path, Path(scratch), environment.spaces()) as policy:
                yield policy

    errors = (PolicyError, SandboxError)
    return McpConfig(environment, workplace.folder / "renders", open_policy, errors, http_host)


def run_agent(
    draft: Draft,
    *,
    backend: Backend,
    cli: Cli,
    environment: Environment,
    workplace: Workplace,
    gateway: Gateway,
    model_server: ModelServer,
    mcp: McpConfig,
    live: LiveLine,
) -> AttemptResult:
    """Run the CLI on the case's task and write down in `draft` how it went."""
    case = draft.case
    draft.versions |= {
        "cli": cli.version,
        "model_digest": model_server.digest,
        "sandbox": workplace.sandbox.version,
        "environment": _environment_version(case, draft.versions["harness"]),
    }

    def progress(session: Session, seconds: float) -> None:
        tool = f", {session.last_tool}" if session.last_tool else ""
        live.show(f"{case.id}: turn {session.turns}{tool}, {seconds:.0f} s")

    result = run_attempt(
        case=case,
        backend=backend,
        cli=cli,
        prompt=build_prompt(
            description=environment.describe(),
            episodes=case.evaluation.episodes,
            max_steps=case.environment.max_steps,
            episode_wall_s=case.evaluation.episode_wall_s,
            tool_names={tool: backend.tool_name(mcp.name, tool) for tool in mcp.tools},
        ),
        workplace=workplace,
        gateway=gateway,
        model_server=model_server,
        mcp=mcp,
        progress=progress,
    )
    _write_down(draft, result)
    return result


def _environment_version(case: Case, harness_version: str | None) -> str | None:
    package = {"kinder": "kindergarden", "gymnasium": "gymnasium"}.get(case.environment.kind)
    return f"{package} {version(package)}" if package else f"proctor {harness_version}"


def _write_down(draft: Draft, result: AttemptResult) -> None:
    session, metered = result.session, result.metered
    usage = Usage(
        reported=UsageTotals(
            turns=session.turns,
            tool_calls=session.tool_calls,
            input_tokens=session.usage.input_tokens,
            output_tokens=session.usage.output_tokens,
            cache_read_tokens=session.usage.cache_read_tokens,
            cache_write_tokens=session.usage.cache_write_tokens,
            cost_usd=session.cost_usd,
        ),
        metered=UsageTotals(
            turns=metered.turns,
            requests=metered.requests,
            tool_calls=metered.tool_calls,
            input_tokens=metered.input_tokens,
            output_tokens=metered.output_tokens,
            cache_read_tokens=metered.cache_read_tokens,
            cache_write_tokens=metered.cache_write_tokens,
            cost_usd=metered.cost_usd,
        ),
    )
    draft.ending, draft.explanation, draft.usage = result.ending, result.explanation, usage
    draft.timing |= {
        "setup_s": result.setup_s,
        "agent_s": result.agent_s,
        "model_s": result.model_s,
    }
    if session.tool_s or not session.tool_calls:  # a CLI that tells no durations leaves them unknown, not 0
        draft.timing["tools_s"] = session.tool_s
    draft.mcp_servers = dict(session.mcp_servers)
    draft.unknown_events, draft.malformed_lines = session.unknown_events, session.malformed_lines
    draft.attempts.append(
        Attempt(
            ending=result.ending,
            cause=ENDINGS[result.ending].cause,
            explanation=result.explanation,
            exit_code=result.exit_code,
            seconds=round(result.agent_s, 3),
            kill_s=round(result.kill_s, 3),
            usage=usage,
        )
    )


def collect_submission(draft: Draft) -> Submission:
    """Copy out what the agent left, now that it is dead; its home, which only a failed session needs, is removed."""
    submission = collect(draft.folder / "workspace", draft.folder / "submission")
    discard(draft.folder / "home")
    draft.submission = {
        "digest": submission.digest,
        "files": sorted(submission.files),
        "left_out": list(submission.left_out),
    }
    return submission


def grade(
    draft: Draft, environment: Environment, workplace: Workplace, submission: Submission, live: LiveLine
) -> Score:
    """Play the held-out episodes, whose seeds are drawn only now."""
    case = draft.case
    if submission.reason is not None:
        draft.explanation = submission.reason
    conf = case.evaluation
    seeds = episode_seeds(conf.seed, case.environment.name, case.replicate, conf.episodes)
    draft.seeds_digest = digest(seeds)
    with draft.timed("evaluation_s"), TemporaryDirectory(dir=draft.folder, prefix="policy-") as scratch:
        draft.score, _episodes = evaluate(
            environment,
            submission,
            workplace.sandbox,
            conf=conf,
            seeds=seeds,
            scratch=Path(scratch),
            episodes_file=draft.folder / "episodes.jsonl",
            progress=lambda done, scheduled: live.show(f"{case.id}: episode {done} of {scheduled}"),
        )
    return draft.score
