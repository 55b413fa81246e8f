"""Plays real sessions for the corpus and the contract: a CLI in the sandbox, the gateway, and a scripted model."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from backends.base import Backend, NpmPackage, PipPackage
from harness import pipeline
from harness.agent.attempt import AttemptResult, run_attempt
from harness.agent.cli import Cli, cli_in, find_cli, pinned_clis, pinned_folder
from harness.agent.driver import Progress
from harness.agent.files import holds
from harness.agent.setup import SessionSetup
from harness.case import BackendConf, Case, Limits, ModelConf, Price, ProviderConf, SandboxConf
from harness.case_folder import CaseFolder
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.gateway.account import Account
from harness.gateway.budget import Budget
from harness.gateway.messages import OfferedTool
from harness.gateway.provider import Answer, Call, Provider
from harness.gateway.script import Script
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.server import Gateway
from harness.grading import EvaluationConf
from harness.http_host import HttpHost, Served
from harness.lazy import LazyModule
from harness.mcp.server import McpServer
from harness.models.model_server import ModelServer
from harness.sandbox.dirs import SandboxDirs
from harness.sandbox.factory import make_sandbox
from tests.support.cases import PROMPT

if TYPE_CHECKING:
    from harness.models import translating
else:  # it needs an extra
    translating = LazyModule("harness.models.translating")

_CLIS = pinned_clis()
"""The folder of the pinned CLIs. It is read here because a test may later act as another user, with another cache."""

MODEL = "scripted"
"""The model that a session asks for by default."""

MAZE = EnvironmentConf("small_maze", "maze", {"min_size": 3, "max_size": 3}, max_steps=100)
SANDBOX = SandboxConf("bubblewrap", "bubblewrap")
LIMITS = Limits(turns=40, wall_s=240, idle_s=60, first_byte_s=30, stalled_s=30, failed_requests=1000)
"""Wide limits: a CLI that fails may do so in its own way and time."""

UNKNOWN_TOOL = "nonesuch"

Rewrite = Mapping[str, Sequence[tuple[str, str]]]
"""Texts to replace in an answer's bytes, by the name of the wire. Used to send what no correct server sends."""


class Model:
    """A provider that plays a script, keeps every request, and changes its answers' bytes as `rewrite` says.

    If requests reach it translated, `translated` is set, and others keep the CLI's own requests for it. It calls
    `watch` with each request before it answers, on the gateway's thread.
    """

    def __init__(self, script: Script, rewrite: Rewrite, watch: Callable[[Call], None]) -> None:
        self.script = script
        self.requests: list[Call] = []
        self.translated = False
        self._rewrite = rewrite
        self._watch = watch
        self._player = ScriptedProvider(script)

    async def answer(self, call: Call) -> Answer:
        """See `Provider.answer`."""
        if not self.translated:
            self.requests.append(call)
        self._watch(call)
        answer = await self._player.answer(_with_unknown_tool(call))
        changes = [(old.encode(), new.encode()) for old, new in self._rewrite.get(call.wire.NAME, ())]
        return msgspec.structs.replace(answer, chunks=_changed(answer.chunks, changes)) if changes else answer

    async def count_tokens(self, call: Call) -> int:
        """See `Provider.count_tokens`."""
        return await self._player.count_tokens(call)


def _with_unknown_tool(call: Call) -> Call:
    """Return the call with the tool `nonesuch` added, which scripts may call although no CLI offers it."""
    request = call.request
    tools = (*request.tools, OfferedTool(UNKNOWN_TOOL)) if request.tools else ()
    return msgspec.structs.replace(call, request=msgspec.structs.replace(request, tools=tools))


async def _changed(chunks: AsyncIterator[bytes], changes: Sequence[tuple[bytes, bytes]]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        changed = chunk
        for old, new in changes:
            changed = changed.replace(old, new)
        yield changed


class _Heard:
    """A provider that notes the CLI's own requests, where `model` gets translated ones."""

    def __init__(self, translator: Provider, model: Model) -> None:
        self._translator = translator
        self._model = model

    async def answer(self, call: Call) -> Answer:
        """See `Provider.answer`."""
        self._model.requests.append(call)
        return await self._translator.answer(call)

    async def count_tokens(self, call: Call) -> int:
        """See `Provider.count_tokens`."""
        return await self._translator.count_tokens(call)


class Played(Struct, frozen=True):
    """A played session: how it ended, its files, and the requests that reached the model.

    If it resumed another session, `earlier` is how that one ended.
    """

    result: AttemptResult
    folder: Path
    requests: list[Call]
    earlier: AttemptResult | None = None

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def stream(self) -> bytes:
        return (self.folder / "stream.jsonl").read_bytes()

    @property
    def ledger(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in (self.folder / "gateway.jsonl").read_bytes().splitlines()]


class Play(Struct, frozen=True, kw_only=True):
    """The description of a session to play.

    With a `first` script, the session resumes an earlier one. The earlier session plays `first` and must be cut short.
    `wire` is the protocol between CLI and model; by default, the CLI's first. `refuse`: nobody listens at the model's
    address. `mcp_fails`: the MCP server answers 500.
    """

    script: Script
    first: Script | None = None
    prompt: str = "Play the script."
    model: str = MODEL
    wire: str | None = None
    context: int = 65_536
    limits: Limits = LIMITS
    options: Mapping[str, Any] = {}
    price: Price | None = None
    rewrite: Rewrite = {}
    refuse: bool = False
    mcp_fails: bool = False


def ignore(*_: Any) -> None:
    """Ignore a request: the default for `watch`."""


def installed(backend: Backend, clis: Path | None = None) -> Cli:
    """Return the CLI of a backend from the folder `clis`, or the pinned one of the user who began the tests."""
    package = backend.installation
    if clis is None and isinstance(package, NpmPackage | PipPackage):
        return cli_in(_CLIS / pinned_folder(package).name, package)
    return find_cli(backend, clis)


class Stage:
    """A place to play sessions; a context manager. `clis` is a folder of other CLIs than the pinned ones.

    The model speaks the wire of the CLI. With an `upstream`, it speaks this one alone, and the gateway translates.
    """

    def __init__(self, clis: Path | None = None, upstream: str | None = None) -> None:
        self._clis = clis
        self._upstream = upstream
        self._sandbox = make_sandbox(SANDBOX)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._host = stack.enter_context(HttpHost())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def dirs(self, folder: Path, readable: Sequence[Path] = ()) -> SandboxDirs:
        """Return the folders of a sandbox below a new folder. These host paths are readable in it too."""
        folder.mkdir(parents=True, exist_ok=True)
        return SandboxDirs(self._sandbox, CaseFolder(folder), readable)

    def play(
        self,
        backend: Backend,
        folder: Path,
        play: Play,
        *,
        watch: Callable[[Call], None] = ignore,
        progress: Callable[[Progress], None] = ignore,
    ) -> Played:
        """Run the backend's real CLI to the end of its session, with files in `folder`. Any thread may call this."""
        dirs = self.dirs(folder)
        model = Model(play.script, play.rewrite, watch)
        earlier = None
        with closing(make_environment(MAZE)) as environment:
            mcp: Any = pipeline.mcp_config(MAZE, environment, dirs, self._host)
            if play.mcp_fails:
                mcp = _FailingMcp(mcp, self._host)
            if play.first:
                interrupted = Model(play.first, {}, ignore)
                earlier = self._attempt(backend, folder.name, play, dirs, interrupted, mcp, progress, None)
                (folder / "first").mkdir()
                for name in ("stream.jsonl", "gateway.jsonl", "stderr.log"):
                    (folder / name).rename(folder / "first" / name)
            resume = earlier.session.session_id if earlier else None
            if resume:
                assert holds(dirs.home, backend.conversation_files(resume)), "the CLI keeps conversations elsewhere"
            result = self._attempt(backend, folder.name, play, dirs, model, mcp, progress, resume)
            if earlier and backend.quirks.totals_go_on:
                result.session.reported.resumes(earlier.session.reported)
        return Played(result, folder, model.requests, earlier)

    def _attempt(
        self,
        backend: Backend,
        name: str,
        play: Play,
        dirs: SandboxDirs,
        model: Model,
        mcp: Any,
        progress: Callable[[Progress], None],
        resume: str | None,
    ) -> AttemptResult:
        wire = play.wire or backend.capabilities.wires[0]
        case = Case(
            id=f"{backend.name}-{name}",
            backend=BackendConf(backend.name, options=dict(play.options)),
            model=ModelConf(MODEL, "scripted", served_as=play.model, context=play.context, price=play.price),
            provider=ProviderConf("scripted", "scripted", wires=[]),
            wire=wire,
            environment=MAZE,
            prompt=PROMPT,
            sandbox=SANDBOX,
            limits=play.limits,
            evaluation=EvaluationConf(),
            translated=self._upstream if self._upstream != wire else None,
        )
        server = _server(case, model)
        return run_attempt(
            SessionSetup(
                case=case,
                backend=backend,
                cli=installed(backend, self._clis),
                dirs=dirs,
                budget=Budget.within(play.limits),
                gateway=_Refusing(self._host) if play.refuse else Gateway(self._host),
                model_server=server,
                mcp=mcp,
                progress=progress,
                instructions=PROMPT.instructions,
            ),
            play.prompt,
            resume=resume,
        )


def _server(case: Case, model: Model) -> ModelServer:
    server = ModelServer(MODEL, lambda: model)
    if case.translated is None:
        return server
    model.translated = True
    translated = translating.translated(server, case, case.translated)
    return msgspec.structs.replace(translated, provider=lambda: _Heard(translated.provider(), model))


class _Refusing(Gateway):
    """A gateway whose sockets are closed, so that no request reaches it."""

    def open_account(self, *arguments: Any, **named: Any) -> Account:
        account = super().open_account(*arguments, **named)
        assert account.served
        account.served.close()
        return account


class _FailingMcp:
    """An MCP server that answers every request with 500."""

    def __init__(self, mcp: McpServer, host: HttpHost) -> None:
        self.name, self.path, self.tools, self.renders = mcp.name, mcp.path, mcp.tools, mcp.renders
        self.digest = mcp.digest
        self._host = host

    def serve(self, listener: socket.socket, **_: str) -> Served:
        """See `McpServer.serve`."""
        broken = Route(self.path, lambda _: PlainTextResponse("broken", 500), methods=["GET", "POST", "DELETE"])
        return self._host.serve(Starlette(routes=[broken]), listener)
