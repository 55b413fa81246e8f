"""One attempt at a case: one session of its CLI, from an empty box to a named ending."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import PurePosixPath

import msgspec
from msgspec import Struct, field

from backends.base import Backend, McpEndpoint, SessionSpec
from backends.reading.errors import reset_hint
from backends.reading.resets import reset_time
from backends.session import Session
from harness.access.kit import ENDPOINT, KIT
from harness.access.server import ServedWorld
from harness.adapters import own_options
from harness.agent.clock import SystemClock
from harness.agent.driver import SessionOutcome, drive
from harness.agent.ending import classify
from harness.agent.evidence import LedgerEvidence, broken, ended_by_signal, evidence, of_the_agent, proven, weighed
from harness.agent.files import link_inside, write_inside
from harness.agent.settle import settle
from harness.agent.setup import SessionSetup
from harness.agent.stream import stderr_tail
from harness.agent.watchdog import Stop
from harness.case import Limits
from harness.endings import CaseFault, Ending, explain
from harness.gateway.account import Account
from harness.gateway.first_request import FirstRequest
from harness.gateway.ledger import Metered
from harness.gateway.prices import pricing
from harness.results.record import Asked, Digests
from harness.sandbox.base import Box, SandboxError
from harness.sandbox.dirs import SandboxDirs
from harness.sandbox.paths import program_paths

_GIT_CONFIG = """\
[user]
\tname = agent
\temail = agent@localhost
"""
"""The agent's identity, without which `git commit` fails."""


class AttemptResult(Struct, frozen=True, kw_only=True):
    """How one attempt went: why it ended, what the CLI reported, what the gateway metered. Times are in seconds.

    `stopped` is true if the harness ended the session. `resumed` is true if the attempt continued an earlier
    conversation. `asked` is what it asked of the agent. `waited_s` is the pause before the attempt. `term_s` is the
    time from SIGTERM to the exit of the CLI, `kill_s` the time until the last process was gone, and `settle_s` the time
    until the session's folders stopped changing. `resets_in_s` is the time until a rate limit ends, if the provider or
    the CLI said so. `digests` tell what the agent was asked, and `first_request` what the CLI then asked of its model:
    it is `None` if the CLI sent no request with tools. `raised` is the exception that stopped the attempt from outside,
    or `None`.
    """

    ending: Ending
    explanation: str
    exit_code: int | None = None
    session: Session = field(default_factory=Session)
    metered: Metered = Metered()
    stopped: bool = False
    resumed: bool = False
    asked: Asked = Asked.TASK
    waited_s: float = 0.0
    setup_s: float = 0.0
    agent_s: float = 0.0
    term_s: float = 0.0
    kill_s: float = 0.0
    settle_s: float = 0.0
    model_s: float = 0.0
    resets_in_s: float | None = None
    digests: Digests = Digests()
    first_request: FirstRequest | None = None
    raised: BaseException | None = None


def run_attempt(
    setup: SessionSetup,
    prompt: str,
    *,
    limits: Limits | None = None,
    resume: str | None = None,
    asked: Asked = Asked.TASK,
    acted: bool = False,
) -> AttemptResult:
    """Run the CLI on the prompt until it ends or reaches a limit.

    `limits` are what is left of the case's limits; by default, all of them. `resume` is the id of the conversation to
    continue in the same folders. `asked` says what the prompt asks for. `acted` says that the agent has acted in an
    earlier attempt, and that what it left is still in the folders.

    When this returns, `prompt.md`, `instructions.md`, `stream.jsonl`, `gateway.jsonl` and `stderr.log` are in the
    case's folder, no process of the session is running, and the session's folders no longer change. Raise
    `SandboxError` if no box can be opened. Later errors are in the result, together with what the session has used.
    """
    began = time.monotonic()
    limits = limits or setup.case.limits
    room: _Room | None = None
    try:
        with ExitStack() as stack:
            room = _open_room(setup, stack)
            spec = _spec(setup, room.box, resume, asked)
            prompt = _sent(setup, spec, prompt)
            outcome, setup_s = _run_session(setup, room, spec, prompt, limits, began)
    except Exception as error:  # whatever it is, what the session has used must be counted
        if room is None:
            raise
        result = _broken_off(error, room.account, acted=acted)
    else:
        result = _result(setup, room.account, outcome, limits, acted=acted)
        result = msgspec.structs.replace(result, setup_s=setup_s, digests=_digests(setup, prompt))
    return msgspec.structs.replace(result, resumed=resume is not None, asked=asked)


def _result(
    setup: SessionSetup, account: Account, outcome: SessionOutcome, limits: Limits, *, acted: bool
) -> AttemptResult:
    """Return how a session went that the driver has followed to its end."""
    dirs, session, trouble, settle_s = setup.dirs, outcome.session, outcome.raised, 0.0
    if trouble is None:
        try:
            settle_s = settle((dirs.workspace, dirs.home), SystemClock())
            setup.keep_version(account, last=True)
        except (SandboxError, OSError) as error:
            trouble = error
    trouble = trouble or setup.model_server.fault()
    tail = stderr_tail(dirs.stderr)
    for event in setup.backend.read_stderr(tail):
        session.add(event)
    session.expect_mcp(server.name for server in setup.servers)
    known = evidence(
        account,
        acted=acted,
        killed=outcome.stop is None and ended_by_signal(outcome.exit_code),
        in_a_command=outcome.in_a_command,
    )
    if trouble is None:
        (ending, explanation), raised = _ending(outcome, known, tail, limits), None
    else:
        (ending, explanation), raised = _troubled(trouble, known, outcome.stop if outcome.raised else None)
    return AttemptResult(
        ending=ending,
        explanation=explanation,
        exit_code=outcome.exit_code,
        session=session,
        metered=account.metered(),
        stopped=outcome.stop is not None,
        agent_s=outcome.seconds,
        term_s=outcome.term_s,
        kill_s=outcome.kill_s,
        settle_s=settle_s,
        model_s=account.model_s,
        resets_in_s=_resets_in_s(session, account) if ending is Ending.RATE_LIMITED else None,
        first_request=account.first_request,
        raised=raised,
    )


def _broken_off(error: Exception, account: Account, *, acted: bool) -> AttemptResult:
    """Return how an attempt went in which an error left no outcome of the session."""
    known = evidence(account, acted=acted)
    (ending, explanation), raised = _troubled(error, known)
    return AttemptResult(
        ending=ending,
        explanation=explanation,
        metered=account.metered(),
        model_s=account.model_s,
        first_request=account.first_request,
        raised=raised,
    )


def _troubled(
    error: BaseException, known: LedgerEvidence, stopped: Stop | None = None
) -> tuple[Stop, BaseException | None]:
    """Return the ending for an error outside the CLI, and the error to raise again, or `None` if it is explained.

    `stopped` says why the driver ended the session, if the error reached it.
    """
    if of_the_agent(error, acted=known.acted):
        return broken(error), None
    ending, explanation, _ = explain(error)
    return stopped or Stop(ending, explanation), None if isinstance(error, CaseFault) else error


class _Room(Struct, frozen=True):
    """An open box, and the account that answers at its model endpoint.

    `world` is the environment of a black box, served at another endpoint.
    """

    box: Box
    account: Account
    world: ServedWorld | None = None

    def fault(self) -> str | None:
        """Return why the environment does not work, whatever the agent did, or `None` if it does."""
        return None if self.world is None else self.world.fault


def _open_room(setup: SessionSetup, stack: ExitStack) -> _Room:
    """Seal a box and serve its endpoints, until `stack` is closed."""
    case, dirs, mcp = setup.case, setup.dirs, setup.mcp
    mcp.renders.mkdir(parents=True, exist_ok=True)
    access, kit = setup.access, stack.enter_context(dirs.folder.scratch()) / "kit"
    if access is not None:
        access.use.begin()
        access.fill(kit)
    box = stack.enter_context(
        dirs.open(
            endpoints=("model", *(server.name for server in setup.servers), *(access.endpoints if access else ())),
            mounts={"renders": mcp.renders} | ({KIT: kit} if access else {}),
            readable=program_paths(setup.cli.executable),
        )
    )
    setup.model_server.require_workspace(box.workspace)
    account = setup.gateway.open_account(
        box.endpoints["model"].listener,
        model=case.model.asked_as,
        context=case.model.context,
        workspace=box.workspace,
        provider=setup.model_server.provider(),
        price=pricing(case.model, case.provider),
        budget=setup.budget,
        purses=setup.purses,
        ledger=dirs.folder.ledger,
        wire=case.wire,
        extra_fields=tuple(case.gateway.extra_fields),
        toolless=not setup.backend.capabilities.tools,
    )
    stack.enter_context(closing(account))
    account.before_turn = partial(setup.keep_version, account)
    for server in setup.servers:
        listener = box.endpoints[server.name].listener
        offered = server.serve(listener, workspace=box.workspace, renders=box.mounts["renders"])
        stack.enter_context(closing(offered))
    world = None
    if access is not None and access.endpoints:
        world = stack.enter_context(closing(access.serve(box.endpoints[ENDPOINT].listener, kit)))
    return _Room(box, account, world)


def _run_session(
    setup: SessionSetup, room: _Room, spec: SessionSpec, prompt: str, limits: Limits, began: float
) -> tuple[SessionOutcome, float]:
    """Start the CLI and follow it to its end. Return the outcome, and the seconds from `began` to the CLI's start."""
    backend, box, dirs = setup.backend, room.box, setup.dirs
    _write_config(backend, spec, box, dirs)
    for name in setup.access.links if setup.access else ():
        link_inside(dirs.where(dirs.workspace), name, f"{box.mounts[KIT]}/{name}")
    box.exec([*setup.cli.runner, *backend.command(spec)], {**setup.cli.environment, **backend.environment(spec)})
    setup_s = time.monotonic() - began
    outcome = drive(
        box,
        backend,
        prompt=prompt,
        limits=limits,
        traffic=room.account,
        stream=dirs.folder.stream,
        stderr=dirs.stderr,
        progress=setup.progress,
        fault=room.fault,
    )
    return outcome, setup_s


def _sent(setup: SessionSetup, spec: SessionSpec, prompt: str) -> str:
    """Return the prompt with the backend's hints, and write it and the instructions into the case's folder."""
    hints = "" if prompt == setup.backend.compact_prompt else setup.backend.prompt_hints(spec)
    sent = f"{prompt}\n{hints}\n" if hints else prompt
    setup.dirs.folder.prompt.write_text(sent, encoding="utf-8")
    setup.dirs.folder.instructions.write_text(spec.instructions, encoding="utf-8")
    return sent


def _digests(setup: SessionSetup, prompt: str) -> Digests:
    prompt_digest, instructions = (sha256(text.encode()).hexdigest() for text in (prompt, setup.instructions))
    tools = next((server.digest for server in setup.servers), None)
    return Digests(prompt=prompt_digest, instructions=instructions, tools=tools)


def _ending(outcome: SessionOutcome, known: LedgerEvidence, stderr_tail: str, limits: Limits) -> Stop:
    """Return the ending and its explanation, as far as the ledger does not contradict the CLI."""
    if outcome.stop is not None:
        return proven(outcome.stop, known)
    told = classify(outcome.session, exit_code=outcome.exit_code, stderr_tail=stderr_tail, limits=limits)
    return weighed(Stop(*told), known)


def _resets_in_s(session: Session, account: Account) -> float | None:
    """Return the seconds until a rate limit ends, as the provider or the CLI said. Return `None` if neither did."""
    now = datetime.now(UTC)
    failure = account.last_failure
    if failure is not None and failure.retry_after_s is not None:
        return failure.retry_after_s
    stated = session.resets_at or (reset_hint(failure.message) if failure else None)
    at = reset_time(stated, now) if stated else None
    return (at - now).total_seconds() if at else None


def _spec(setup: SessionSetup, box: Box, resume: str | None, asked: Asked) -> SessionSpec:
    case = setup.case
    return SessionSpec(
        executable=str(setup.cli.executable),
        workspace=box.workspace,
        home=box.home,
        model=case.model.asked_as,
        context=case.model.context,
        model_url=box.endpoints["model"].url,
        wire=case.wire,
        mcp=tuple(McpEndpoint(server.name, box.endpoints[server.name].url + server.path) for server in setup.servers),
        instructions=setup.instructions,
        options=own_options(case.backend),
        resume=resume,
        compact=asked is Asked.SHORTENED,
    )


def _write_config(backend: Backend, spec: SessionSpec, box: Box, dirs: SandboxDirs) -> None:
    places = {PurePosixPath(box.workspace): dirs.where(dirs.workspace), PurePosixPath(box.home): dirs.where(dirs.home)}
    files = backend.config_files(spec)
    if spec.resume is None:  # a resumed agent keeps the identity that it may have given itself
        files = {f"{box.home}/.gitconfig": _GIT_CONFIG, **files}
    for name, text in files.items():
        path = PurePosixPath(name)
        inside, folder = next((i, folder) for i, folder in places.items() if path.is_relative_to(i))
        write_inside(folder, path.relative_to(inside), text)
