"""One attempt at a case: one session of its CLI, from an empty box to a named ending."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import PurePosixPath

from msgspec import Struct, field

from backends.base import Backend, McpEndpoint, SessionSpec
from backends.reading.errors import reset_hint
from backends.reading.resets import reset_time
from backends.session import Session
from harness.agent.cli import Cli
from harness.agent.clock import SystemClock
from harness.agent.driver import Progress, drive
from harness.agent.ending import classify
from harness.agent.files import write_inside
from harness.agent.prompt import INSTRUCTIONS
from harness.agent.resources import BoxMonitor
from harness.agent.stream import stderr_tail
from harness.agent.tree import settle
from harness.agent.watchdog import failed
from harness.case import Case, Limits
from harness.endings import Ending
from harness.gateway.account import Account
from harness.gateway.budget import Budget
from harness.gateway.ledger import Metered
from harness.gateway.prices import pricing
from harness.gateway.server import Gateway
from harness.mcp.server import McpServer
from harness.models.model_server import ModelServer
from harness.sandbox.base import Box
from harness.sandbox.dirs import SandboxDirs
from harness.sandbox.paths import program_paths


class AttemptResult(Struct, frozen=True, kw_only=True):
    """How an attempt went: why it ended, what the CLI reported and what the gateway metered. Times in seconds.

    `stopped` says that the harness ended it. `waited_s` passed before it began, and it `resumed` the conversation of an
    earlier one. Of its end, `term_s` passed between SIGTERM and the CLI's end, `kill_s` until the last process was gone
    and `settle_s` until its folders were seen to rest. `resets_in_s`: until a rate limit ends, where that is told.
    """

    ending: Ending
    explanation: str
    exit_code: int | None = None
    session: Session = field(default_factory=Session)
    metered: Metered = Metered()
    stopped: bool = False
    resumed: bool = False
    waited_s: float = 0.0
    setup_s: float = 0.0
    agent_s: float = 0.0
    term_s: float = 0.0
    kill_s: float = 0.0
    settle_s: float = 0.0
    model_s: float = 0.0
    resets_in_s: float | None = None

    @property
    def cost_usd(self) -> float:
        """By the gateway's ledger where a price is known, else as the CLI reports it."""
        return self.session.cost_usd if self.metered.cost_usd is None else self.metered.cost_usd


def run_attempt(
    *,
    case: Case,
    backend: Backend,
    cli: Cli,
    prompt: str,
    dirs: SandboxDirs,
    gateway: Gateway,
    model_server: ModelServer,
    mcp: McpServer,
    progress: Callable[[Progress], None],
    limits: Limits | None = None,
    resume: str | None = None,
) -> AttemptResult:
    """Run the CLI on the prompt until it ends or passes a limit. Raises `SandboxError` where it cannot be started.

    `limits` are what is left of the case's, which is all of them by default; `resume` is the id of the conversation to
    go on with in the same dirs. Leaves `stream.jsonl`, `gateway.jsonl` and `stderr.log` in the dirs's
    folder; nothing of the session runs afterwards, and its folders do not change any more.
    """
    limits = limits or case.limits
    began = time.monotonic()
    servers = (mcp,) if backend.capabilities.mcp else ()
    mcp.renders.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        box = stack.enter_context(
            dirs.open(
                endpoints=("model", *(server.name for server in servers)),
                mounts={"renders": mcp.renders},
                readable=program_paths(cli.executable),
            )
        )
        model_server.require_workspace(box.workspace)
        account = stack.enter_context(
            closing(
                gateway.open_account(
                    box.endpoints["model"].listener,
                    model=case.model.asked_as,
                    context=case.model.context,
                    workspace=box.workspace,
                    provider=model_server.provider(),
                    price=pricing(case.model, case.provider),
                    budget=Budget(limits.turns, tokens=limits.tokens, cost_usd=limits.cost_usd),
                    ledger=dirs.folder / "gateway.jsonl",
                )
            )
        )
        for server in servers:
            listener = box.endpoints[server.name].listener
            offered = server.serve(listener, workspace=box.workspace, renders=box.mounts["renders"])
            stack.enter_context(closing(offered))
        spec = _spec(case, cli, box, servers, resume)
        _write_config(backend, spec, box, dirs)
        hints = backend.prompt_hints(spec)
        box.exec(backend.command(spec), backend.environment(spec))
        setup_s = time.monotonic() - began
        outcome = drive(
            box,
            backend,
            prompt=f"{prompt}\n{hints}\n" if hints else prompt,
            limits=limits,
            traffic=account,
            monitor=BoxMonitor(box.pid, (dirs.workspace, dirs.home)),
            stream=dirs.folder / "stream.jsonl",
            progress=progress,
        )
    settle_s = settle((dirs.workspace, dirs.home), SystemClock())
    tail = stderr_tail(dirs.stderr)
    for event in backend.read_stderr(tail):
        outcome.session.add(event)
    ending, explanation = outcome.stop or classify(outcome.session, exit_code=outcome.exit_code, stderr_tail=tail)
    failure = account.last_failure if account.failures else None
    if ending is Ending.MODEL_ERROR and outcome.stop is None and failure:  # the ledger know better what failed
        ending, explanation = failed(failure, "the CLI gave up when a model request failed")
    return AttemptResult(
        ending=ending,
        explanation=explanation,
        exit_code=outcome.exit_code,
        session=outcome.session,
        metered=account.metered(),
        stopped=outcome.stop is not None,
        resumed=resume is not None,
        setup_s=setup_s,
        agent_s=outcome.seconds,
        term_s=outcome.term_s,
        kill_s=outcome.kill_s,
        settle_s=settle_s,
        model_s=account.model_s,
        resets_in_s=_resets_in_s(outcome.session, account) if ending is Ending.RATE_LIMITED else None,
    )


def _resets_in_s(session: Session, account: Account) -> float | None:
    """Seconds until a rate limit ends, as the provider or the CLI said; none if neither did."""
    now = datetime.now(UTC)
    failure = account.last_failure
    if failure is not None and failure.retry_after_s is not None:
        return failure.retry_after_s
    told = session.resets_at or (reset_hint(failure.message) if failure else None)
    at = reset_time(told, now) if told else None
    return (at - now).total_seconds() if at else None


def _spec(case: Case, cli: Cli, box: Box, servers: Sequence[McpServer], resume: str | None) -> SessionSpec:
    return SessionSpec(
        executable=str(cli.executable),
        workspace=box.workspace,
        home=box.home,
        model=case.model.asked_as,
        context=case.model.context,
        model_url=box.endpoints["model"].url,
        wire=case.wire,
        mcp=tuple(McpEndpoint(server.name, box.endpoints[server.name].url + server.path) for server in servers),
        instructions=INSTRUCTIONS,
        options=case.backend.options,
        resume=resume,
    )


def _write_config(backend: Backend, spec: SessionSpec, box: Box, dirs: SandboxDirs) -> None:
    places = {PurePosixPath(box.workspace): dirs.workspace, PurePosixPath(box.home): dirs.home}
    for name, text in backend.config_files(spec).items():
        path = PurePosixPath(name)
        inside, folder = next((i, folder) for i, folder in places.items() if path.is_relative_to(i))
        write_inside(folder, path.relative_to(inside), text)
