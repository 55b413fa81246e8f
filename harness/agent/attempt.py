"""One attempt at a case: one session of its CLI, from an empty box to a named ending."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import PurePosixPath

from msgspec import Struct

from backends.base import Backend, McpEndpoint, SessionSpec
from backends.session import Session
from harness.agent.cli import Cli
from harness.agent.driver import drive
from harness.agent.ending import classify
from harness.agent.files import write_inside
from harness.agent.model_server import ModelServer
from harness.agent.prompt import INSTRUCTIONS
from harness.case import Case, Ending
from harness.gateway.budget import Budget
from harness.gateway.meter import Metered
from harness.gateway.server import Gateway
from harness.mcp.config import McpConfig
from harness.sandbox.base import Box
from harness.sandbox.paths import program_paths
from harness.sandbox.workplace import Workplace

_STDERR_TAIL = 20_000


class AttemptResult(Struct, frozen=True, kw_only=True):
    """How an attempt went: why it ended, what the CLI reported and what the gateway metered. Times in seconds."""

    ending: Ending
    explanation: str
    exit_code: int
    session: Session
    metered: Metered
    setup_s: float
    agent_s: float
    kill_s: float
    model_s: float


def run_attempt(
    *,
    case: Case,
    backend: Backend,
    cli: Cli,
    prompt: str,
    workplace: Workplace,
    gateway: Gateway,
    model_server: ModelServer,
    mcp: McpConfig,
    progress: Callable[[Session, float], None],
) -> AttemptResult:
    """Run the CLI on the prompt until it ends or passes a limit. Raises `SandboxError` where it cannot be started.

    Leaves `stream.jsonl`, `gateway.jsonl` and `stderr.log` in the workplace's folder; nothing of it runs afterwards.
    """
    began = time.monotonic()
    mcp.renders.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        box = stack.enter_context(
            workplace.open(
                endpoints=("model", mcp.name),
                mounts={"renders": mcp.renders},
                readable=program_paths(cli.executable),
            )
        )
        account = stack.enter_context(
            closing(
                gateway.open_account(
                    box.endpoints["model"].listener,
                    model=case.model.served_as or case.model.name,
                    context=case.model.context,
                    provider=model_server.provider(box.workspace),
                    budget=Budget(turns=case.limits.turns),
                    books=workplace.folder / "gateway.jsonl",
                )
            )
        )
        listener = box.endpoints[mcp.name].listener
        stack.enter_context(closing(mcp.serve(listener, workspace=box.workspace, renders=box.mounts["renders"])))
        spec = _spec(case, cli, box, mcp)
        _write_config(backend, spec, box, workplace)
        hints = backend.prompt_hints(spec)
        box.exec(backend.command(spec), backend.environment(spec))
        setup_s = time.monotonic() - began
        outcome = drive(
            box,
            backend,
            prompt=f"{prompt}\n{hints}\n" if hints else prompt,
            limits=case.limits,
            traffic=account,
            stream=workplace.folder / "stream.jsonl",
            progress=progress,
        )
    stderr_tail = _tail(workplace)
    for event in backend.read_stderr(stderr_tail):
        outcome.session.add(event)
    ending, explanation = classify(
        outcome.session, exit_code=outcome.exit_code, stderr_tail=stderr_tail, stopped_by=outcome.stopped_by
    )
    return AttemptResult(
        ending=ending,
        explanation=explanation,
        exit_code=outcome.exit_code,
        session=outcome.session,
        metered=account.metered(),
        setup_s=setup_s,
        agent_s=outcome.seconds,
        kill_s=outcome.kill_s,
        model_s=account.model_s,
    )


def _spec(case: Case, cli: Cli, box: Box, mcp: McpConfig) -> SessionSpec:
    return SessionSpec(
        executable=str(cli.executable),
        workspace=box.workspace,
        home=box.home,
        model=case.model.served_as or case.model.name,
        context=case.model.context,
        model_url=box.endpoints["model"].url,
        mcp=(McpEndpoint(mcp.name, box.endpoints[mcp.name].url + mcp.path),),
        instructions=INSTRUCTIONS,
        options=case.backend.options,
    )


def _write_config(backend: Backend, spec: SessionSpec, box: Box, workplace: Workplace) -> None:
    places = {PurePosixPath(box.workspace): workplace.workspace, PurePosixPath(box.home): workplace.home}
    for name, text in backend.config_files(spec).items():
        path = PurePosixPath(name)
        inside, folder = next((i, folder) for i, folder in places.items() if path.is_relative_to(i))
        write_inside(folder, path.relative_to(inside), text)


def _tail(workplace: Workplace) -> str:
    with workplace.stderr.open("rb") as file:
        file.seek(max(0, workplace.stderr.stat().st_size - _STDERR_TAIL))
        return file.read().decode(errors="replace")
