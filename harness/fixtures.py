"""What a test may ask for: each case of a suite gets its model server, sandbox, MCP server and grade from these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, NoReturn

import msgspec
import pytest

from backends.base import Backend
from harness.adapters import adapter_of
from harness.agent.cli import Cli, CliMissing, find_cli
from harness.case import Case, SandboxConf, Score
from harness.case_folder import CaseFolder
from harness.endings import ENDINGS, CaseEnded, Ending
from harness.lazy import LazyModule
from harness.results.record_builder import RecordBuilder
from harness.run import Run
from harness.sandbox.base import Sandbox, SandboxError
from harness.sandbox.dirs import SandboxDirs

if TYPE_CHECKING:
    from harness import pipeline
    from harness.environments.base import Environment
    from harness.evaluation.submission import Submission
    from harness.gateway.server import Gateway
    from harness.http_host import HttpHost
    from harness.mcp.server import McpServer
    from harness.models.model_server import ModelServer
    from harness.servers.ollama import Ollama
    from harness.servers.pool import ServerPool
else:  # loads the gateway, MCP, NumPy: a second that only a case should cost
    pipeline = LazyModule("harness.pipeline")

RUN = pytest.StashKey[Run]()
BUILDER = pytest.StashKey[RecordBuilder]()
POOL = pytest.StashKey["ServerPool"]()


def _end(request: pytest.FixtureRequest, ending: Ending, why: str) -> NoReturn:
    """Skip the test or raise `CaseEnded`, as the table of endings says. --require-all turns skips into errors."""
    why = request.config.stash[RUN].conf.located(why)
    builder = request.node.stash.get(BUILDER, None)
    if builder is not None:
        builder.end(ending, why)
    if ENDINGS[ending].outcome == "skipped" and not request.config.getoption("require_all"):
        pytest.skip(why)
    raise CaseEnded(ending, why)


@pytest.fixture(scope="session")
def http_host() -> Iterator[HttpHost]:
    """The event loop on which this process serves its endpoints: `serve(app, listener)`."""
    with pipeline.HttpHost() as host:
        yield host


@pytest.fixture(scope="session")
def gateway(http_host: HttpHost) -> Gateway:
    """The gateway through which all model traffic of this process passes.

    `open_account(listener, model=…, provider=…, budget=…, ledger=…)` serves one session on the listening socket of a
    sandbox's endpoint, and tells what was used: `account.metered()`.
    """
    return pipeline.Gateway(http_host)


@pytest.fixture(scope="session")
def proven_sandbox() -> Callable[[SandboxConf], Sandbox]:
    """Makes a sandbox that has shown on this machine, once in this session, that it seals; raises `SandboxError`."""
    proven: dict[bytes, Sandbox] = {}

    def prove(conf: SandboxConf) -> Sandbox:
        key = msgspec.json.encode(conf)
        if key not in proven:
            sandbox = pipeline.make_sandbox(conf)
            capability = pipeline.probe(sandbox)
            if not capability.ok:
                raise SandboxError(f"{capability.reason}\n{capability.remedy}")
            proven[key] = sandbox
        return proven[key]

    return prove


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, proven_sandbox: Callable[[SandboxConf], Sandbox]) -> SandboxDirs:
    """A sealed place with this test's own workspace and home.

    `run(argv)` runs a command in it to its end; `open(endpoints=[…])` gives a box whose loopback ports are served from
    outside. A case's files are kept in the folder of the run; those of any other test are in its `tmp_path`.
    """
    builder = request.node.stash.get(BUILDER, None)
    folder = builder.folder if builder else CaseFolder(request.getfixturevalue("tmp_path") / "sandbox")
    sealed = proven_sandbox(request.config.stash[RUN].config.sandbox)
    return SandboxDirs(sealed, folder)


@pytest.fixture
def backend(case: Case) -> Backend:
    """The adapter of the case's coding-agent CLI."""
    return adapter_of(case.backend)


@pytest.fixture
def cli(request: pytest.FixtureRequest, backend: Backend) -> Cli:
    """The case's installed CLI; skips where it is not installed."""
    try:
        return find_cli(backend)
    except CliMissing as error:
        _end(request, Ending.CLI_MISSING, str(error))


@pytest.fixture
def environment(request: pytest.FixtureRequest, case: Case) -> Iterator[Environment]:
    """The case's environment, alive in this process; the agent's program never is. Skips without its package."""
    missing = pipeline.missing_package(case)
    if missing is not None:
        _end(request, Ending.UNAVAILABLE, missing)
    environment = pipeline.make_environment(case)
    yield environment
    environment.close()


@pytest.fixture(scope="session")
def server_pool(request: pytest.FixtureRequest) -> Iterator[ServerPool]:
    """The model server that this process holds, one at a time; it is shared with other processes that need the same."""
    run = request.config.stash[RUN]
    pool = pipeline.ServerPool(run.folder, run.live.show)
    request.config.stash[POOL] = pool
    yield pool
    pool.release()


@pytest.fixture
def ollama(request: pytest.FixtureRequest, server_pool: ServerPool) -> Iterator[Ollama]:
    """An Ollama server: `url`, `version`. Skips where there is neither a server nor a binary, saying so.

    For a case whose model it serves it is the server of that model. For any other test it is the one that answers at
    OLLAMA_HOST, by default 127.0.0.1:11434, or else one of its own, on the CPU, to which the test brings its models.
    """
    run = request.config.stash[RUN]
    case: Case | None = request.getfixturevalue("case") if "case" in request.fixturenames else None
    with ExitStack() as stack:
        try:
            if case is not None and case.server is not None and case.provider.kind == "ollama":
                found = pipeline.ollama_of(server_pool.lease(case.server, case.model, case.provider))
            else:
                found = stack.enter_context(pipeline.running_ollama(run.folder, run.live.show))
        except (pipeline.OllamaMissing, pipeline.ServerMissing) as error:
            _end(request, Ending.UNAVAILABLE, str(error))
        yield found


@pytest.fixture
def model_server(request: pytest.FixtureRequest, case: Case, server_pool: ServerPool) -> ModelServer:
    """What serves the case's model: `provider()` for the gateway, and the model's `digest`.

    A model of this machine has its server started; a test is skipped for what this machine lacks: key, binary, GPU.
    """
    conf = request.config.stash[RUN].conf
    try:
        server = pipeline.model_server(case, pipeline.Sources(conf, server_pool))
    except pipeline.ServerMissing as error:
        _end(request, Ending.UNAVAILABLE, str(error))
    return pipeline.recorded(server, case, conf) if request.config.getoption("record_cassettes") else server


@pytest.fixture
def mcp_config(environment: Environment, sandbox: SandboxDirs, http_host: HttpHost) -> McpServer:
    """The MCP server of the case: its name, its tools, and `serve(listener)` to offer them at a sandbox's endpoint."""
    return pipeline.mcp_config(environment, sandbox, http_host)


@pytest.fixture
def submission(
    request: pytest.FixtureRequest,
    backend: Backend,
    cli: Cli,
    environment: Environment,
    sandbox: SandboxDirs,
    gateway: Gateway,
    model_server: ModelServer,
    mcp_config: McpServer,
) -> Submission:
    """What the agent left behind: runs the case's CLI on its task, sealed, and collects `approach.py` and its siblings.

    An ending that leaves nothing to grade (the table is in `harness.endings`) is an error of the test, with its reason.
    """
    run = request.config.stash[RUN]
    builder = request.node.stash[BUILDER]
    setup = pipeline.SessionSetup(
        case=builder.case,
        backend=backend,
        cli=cli,
        dirs=sandbox,
        budget=pipeline.Budget.within(builder.case.limits),
        gateway=gateway,
        model_server=model_server,
        mcp=mcp_config,
        progress=pipeline.show_progress(builder.case, run.live),
    )
    result = pipeline.run_agent(builder, setup, environment, run.live)
    if not ENDINGS[result.ending].graded:
        _end(request, result.ending, result.explanation)
    return pipeline.collect_submission(builder)


@pytest.fixture
def score(
    request: pytest.FixtureRequest, environment: Environment, sandbox: SandboxDirs, submission: Submission
) -> Score:
    """The grade of the submission over the held-out episodes; its program runs in a second sandbox."""
    builder = request.node.stash[BUILDER]
    return pipeline.grade(builder, environment, sandbox, submission, request.config.stash[RUN].live)
