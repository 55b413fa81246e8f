"""Proctor's fixtures. They give each case its model server, its sandbox, its MCP server and its grade."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, NoReturn

import pytest

from harness.budgets import purses_of
from harness.lazy import LazyModule
from harness.options import command_line
from harness.stash import BUILDER, POOL, SESSION, live_of, run_of

if TYPE_CHECKING:
    from pathlib import Path

    import msgspec

    from backends.base import Backend
    from harness import adapters, case_folder, endings, growth, hosting, pipeline, programs
    from harness import case as case_module
    from harness.agent import cli as agent_cli
    from harness.agent.attempt import AttemptResult
    from harness.agent.cli import Cli
    from harness.baselines import best_of, instances
    from harness.case import Case, SandboxConf
    from harness.commands import errors as setup_errors
    from harness.commands.installing import clis as installing
    from harness.endings import Ending
    from harness.environments.hosted import HostedEnvironment
    from harness.evaluation.submission import Submission
    from harness.gateway.server import Gateway
    from harness.grading import Score
    from harness.http_host import HttpHost
    from harness.mcp.server import McpServer
    from harness.models.model_server import ModelServer
    from harness.models.providers import Sources
    from harness.sandbox import base as sandbox_base
    from harness.sandbox import dirs as sandbox_dirs
    from harness.sandbox.base import Sandbox
    from harness.sandbox.dirs import SandboxDirs
    from harness.servers.ollama import Ollama
    from harness.servers.pool import ServerPool
    from harness.shared_session import SharedSession
else:  # where Proctor is installed, every session loads this module, and a session without cases needs none of these
    adapters = LazyModule("harness.adapters")
    agent_cli = LazyModule("harness.agent.cli")
    best_of = LazyModule("harness.baselines.best_of")
    case_folder = LazyModule("harness.case_folder")
    case_module = LazyModule("harness.case")
    endings = LazyModule("harness.endings")
    growth = LazyModule("harness.growth")
    hosting = LazyModule("harness.hosting")
    installing = LazyModule("harness.commands.installing.clis")
    instances = LazyModule("harness.baselines.instances")
    msgspec = LazyModule("msgspec")
    pipeline = LazyModule("harness.pipeline")
    programs = LazyModule("harness.programs")
    sandbox_base = LazyModule("harness.sandbox.base")
    sandbox_dirs = LazyModule("harness.sandbox.dirs")
    setup_errors = LazyModule("harness.commands.errors")


def _end(request: pytest.FixtureRequest, ending: Ending, why: str) -> NoReturn:
    """Skip the test or raise `CaseEnded`, as the table of endings says. --require-all turns skips into errors."""
    why = run_of(request.config).conf.located(why)
    builder = request.node.stash.get(BUILDER, None)
    if builder is not None and not builder.recorded:  # another test has used the session
        builder.end(ending, why)
    if endings.ENDINGS[ending].outcome == "skipped" and not command_line(request.config).require_all:
        pytest.skip(why)
    raise endings.CaseEnded(ending, why)


def _with_agent(request: pytest.FixtureRequest, case: Case) -> Case:
    """Return the case. Skip a test of the agent if the case has none."""
    if not _proctors(case).has_agent:
        builder = request.node.stash.get(BUILDER, None)
        why = f"backend {case.backend.name} grades a program: this case has no agent, no CLI and no model"
        if builder is not None and not builder.recorded:  # another test has graded the program
            builder.end(endings.Ending.UNAVAILABLE, why)
        pytest.skip(why)
    return case


def _proctors(case: Case) -> Case:
    """Return the case. Fail the test if another project's fixture of this name hides ours."""
    if not isinstance(case, case_module.Case):
        pytest.fail(
            f"this test runs a case, but its fixture `case` is not Proctor's (it gives {case!r}): rename that fixture, "
            "or keep the tests of your cases in a folder of their own, where no conftest.py defines it",
            pytrace=False,
        )
    return case


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """A case of the suite: a backend, a model and an environment. A test that asks for it runs once for each case."""
    if not hasattr(request, "param"):
        pytest.fail(
            "a test must name `case`, or a fixture that needs it, among its parameters; "
            "request.getfixturevalue() is too late, because tests get their cases during collection",
            pytrace=False,
        )
    return request.param  # type: ignore[no-any-return]  # the plugin puts a case there


@pytest.fixture(scope="session")
def http_host() -> Iterator[HttpHost]:
    """The event loop that serves the endpoints of this process. Call `serve(app, listener)`."""
    with pipeline.HttpHost() as host:
        yield host


@pytest.fixture(scope="session")
def gateway(http_host: HttpHost) -> Gateway:
    """The gateway. All model traffic of this process passes through it.

    `open_account(listener, model=…, provider=…, budget=…, ledger=…)` serves one session on the listening socket of a
    sandbox's endpoint. `account.metered()` returns what the session has used.
    """
    return pipeline.Gateway(http_host)


@pytest.fixture(scope="session")
def proven_sandbox() -> Callable[[SandboxConf], Sandbox]:
    """A function that makes a sandbox, and checks once in this session that it seals on this machine.

    The function raises `SandboxError` if the sandbox does not seal.
    """
    proven: dict[bytes, Sandbox] = {}

    def prove(conf: SandboxConf) -> Sandbox:
        key = msgspec.json.encode(conf)
        if key not in proven:
            proven[key] = pipeline.prove(conf)
        return proven[key]

    return prove


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, proven_sandbox: Callable[[SandboxConf], Sandbox]) -> SandboxDirs:
    """A sandbox with a workspace and a home for this test alone.

    `run(argv)` runs a command in it and waits until the command ends. `open(endpoints=[…])` opens a box whose loopback
    ports are served from outside. The files of a case are in the run's folder. The files of any other test are in its
    `tmp_path`.
    """
    builder = request.node.stash.get(BUILDER, None)
    folder = builder.folder if builder else case_folder.CaseFolder(request.getfixturevalue("tmp_path") / "sandbox")
    sealed = proven_sandbox(run_of(request.config).config.sandbox)
    bounds = sandbox_base.Bounds.of(builder.case.limits if builder else run_of(request.config).config.limits)
    hidden = pipeline.hidden_from(builder.case.environment) if builder else ()
    return sandbox_dirs.SandboxDirs(sandbox_base.BoundedSandbox(sealed, bounds, hidden), folder)


@pytest.fixture
def backend(request: pytest.FixtureRequest, case: Case) -> Backend:
    """The adapter of the case's coding-agent CLI. The test is skipped if the case has no agent."""
    return adapters.adapter_of(_with_agent(request, case).backend)


@pytest.fixture
def cli(request: pytest.FixtureRequest, case: Case, backend: Backend) -> Cli:
    """The case's installed CLI, or the one whose path its options give.

    A pinned CLI that is not installed is installed now. The test is skipped if that fails, or if the CLI is not pinned
    and not there.
    """
    try:
        executable = adapters.executable_of(_proctors(case).backend)
        if executable:
            return agent_cli.given_cli(backend, executable)
        return installing.install(backend, live_of(request.config).show)
    except (agent_cli.CliMissing, setup_errors.SetupFailed) as error:
        _end(request, endings.Ending.CLI_MISSING, str(error))


@pytest.fixture
def environment(request: pytest.FixtureRequest, case: Case) -> Iterator[HostedEnvironment]:
    """The case's environment. It has the methods of the protocol `Environment`, and runs in a process of its own.

    The test is skipped if the environment's package is not installed.
    """
    hosting.begin(_proctors(case).environment)  # it imports its packages while this process imports the pipeline
    missing = pipeline.missing_package(case)
    if missing is not None:
        _end(request, endings.Ending.UNAVAILABLE, missing)
    environment = pipeline.make_environment(case)
    yield environment
    environment.close()


@pytest.fixture(scope="session")
def server_pool(request: pytest.FixtureRequest) -> Iterator[ServerPool]:
    """The pool that holds at most one model server for this process. Processes that need the same server share it."""
    pool = pipeline.ServerPool(run_of(request.config).folder, live_of(request.config).show)
    request.config.stash[POOL] = pool
    yield pool
    pool.release()


@pytest.fixture
def ollama(request: pytest.FixtureRequest, server_pool: ServerPool) -> Iterator[Ollama]:
    """An Ollama server, with its `url` and `version`. The test is skipped if there is neither a server nor a binary.

    If Ollama serves the model of the test's case, this is the server of that model. In any other test, it is the server
    that answers at OLLAMA_HOST, by default 127.0.0.1:11434. If none answers there, Proctor starts a server on the CPU
    for the test, and the test provides the models.
    """
    case: Case | None = request.getfixturevalue("case") if "case" in request.fixturenames else None
    run, show = run_of(request.config), live_of(request.config).show
    with ExitStack() as stack:
        try:
            if case is not None and case.server is not None and case.provider.kind == "ollama":
                found = pipeline.ollama_of(server_pool.lease(case.server, case.model, case.provider))
            else:
                found = stack.enter_context(pipeline.running_ollama(run.folder, show))
        except (pipeline.OllamaMissing, pipeline.ServerMissing) as error:
            _end(request, endings.Ending.UNAVAILABLE, str(error))
        yield found


@pytest.fixture
def model_server(request: pytest.FixtureRequest, case: Case, server_pool: ServerPool) -> ModelServer:
    """The server of the case's model. It has a `provider()` for the gateway, and the model's `digest`.

    If the model runs on this machine, its server is started first. The test is skipped if this machine lacks the key,
    the binary or the GPU that the model needs.
    """
    conf = run_of(request.config).conf
    builder = request.node.stash.get(BUILDER, None)
    with ExitStack() as stack:
        if builder is not None:
            stack.enter_context(builder.timed("total_s"))
            stack.enter_context(builder.timed("server_s"))
        return _lease(request, case, pipeline.Sources(conf, server_pool))


def _lease(request: pytest.FixtureRequest, case: Case, sources: Sources) -> ModelServer:
    try:
        server = pipeline.model_server(_with_agent(request, case), sources)
    except pipeline.ServerMissing as error:
        _end(request, endings.Ending.UNAVAILABLE, str(error))
    return pipeline.recorded(server, case, sources.conf) if command_line(request.config).record_cassettes else server


@pytest.fixture
def mcp_config(
    request: pytest.FixtureRequest,
    case: Case,
    environment: HostedEnvironment,
    sandbox: SandboxDirs,
    http_host: HttpHost,
) -> McpServer:
    """The MCP server of the case. It has a name and tools. `serve(listener)` offers them at a sandbox's endpoint.

    If the environment cannot be drawn on this machine, there are no tools. The test is skipped if the environment's
    configuration says that they are needed.
    """
    server = pipeline.mcp_config(case.environment, environment, sandbox, http_host)
    if server.fault is not None and case.environment.needs_mcp:
        _end(request, endings.Ending.UNAVAILABLE, server.fault)
    return server


def session_of(request: pytest.FixtureRequest) -> SharedSession:
    """Return the session that the test uses."""
    session: SharedSession | None = request.node.stash.get(SESSION, None)
    if session is None:
        pytest.fail(
            f"a test must name `{request.fixturename}` among its parameters; request.getfixturevalue() is too late, "
            "because sessions are planned during collection",
            pytrace=False,
        )
    return session


@pytest.fixture
def submission(request: pytest.FixtureRequest, case: Case) -> Submission:
    """The files that the agent wrote: `approach.py` and those beside it.

    The first test that asks for it runs the case's CLI on its task in the sandbox, and collects the files afterwards.
    All other tests of the case in this run get the same files. A test that is marked with `fresh_session` has a session
    of its own. If the session's ending leaves nothing to grade, each of these tests is skipped or ends with an error
    that gives the reason. The table in `harness.endings` lists these endings. If the backend grades a program, no agent
    runs, and these are the program's files.
    """
    run = _run_session if _proctors(case).has_agent else _take_program
    return session_of(request).once("submission", lambda: run(request))


def _take_program(request: pytest.FixtureRequest) -> Submission:
    """Return the program that a backend without an agent grades. Skip the test if there is none."""
    builder = request.node.stash[BUILDER]
    backend, environment = builder.case.backend, builder.case.environment
    try:
        program = programs.program_of(backend, environment, run_of(request.config).conf.root)
    except programs.ProgramMissing as error:
        _end(request, endings.Ending.UNAVAILABLE, str(error))
    return pipeline.given_submission(builder, program, f"backend {backend.name}")


def _require_graded(request: pytest.FixtureRequest, result: AttemptResult) -> None:
    """Skip the test or raise `CaseEnded` if the last attempt leaves nothing to grade."""
    if not endings.ENDINGS[result.ending].graded:
        _end(request, result.ending, result.explanation)


def _run_session(request: pytest.FixtureRequest) -> Submission:
    """Run the session of a case. What it needs is set up only now, because most tests find the session done."""
    live = live_of(request.config)
    builder = request.node.stash[BUILDER]
    purses = purses_of(request.config).of(builder.case)
    spent = None if purses is None else purses.spent()
    if spent is not None:
        _end(request, endings.Ending.BUDGET_SPENT, spent)
    environment: HostedEnvironment = request.getfixturevalue("environment")
    mcp: McpServer = request.getfixturevalue("mcp_config")
    setup = pipeline.SessionSetup(
        case=builder.case,
        backend=request.getfixturevalue("backend"),
        cli=request.getfixturevalue("cli"),
        dirs=request.getfixturevalue("sandbox"),
        budget=pipeline.Budget.within(builder.case.limits),
        purses=purses,
        gateway=request.getfixturevalue("gateway"),
        model_server=request.getfixturevalue("model_server"),
        mcp=mcp,
        access=pipeline.Access(builder.case.environment, environment, mcp.use),
        progress=pipeline.show_progress(builder.case, live, purses),
    )
    if builder.case.backend.kind == "per_instance":
        key = run_of(request.config).key_of(builder.case)
        result, submissions = instances.run_instances(builder, setup, environment, live, key)
        _require_graded(request, result)
        return submissions
    setup = msgspec.structs.replace(setup, versions=pipeline.VersionKeeper(builder.folder))
    _require_graded(request, pipeline.run_agent(builder, setup, environment, live))
    candidates = setup.backend.candidates(adapters.own_options(builder.case.backend))
    folder = best_of.choose(builder, environment, setup.dirs, candidates, live) if candidates else "."
    return pipeline.collect_submission(builder, folder)


@pytest.fixture
def score(request: pytest.FixtureRequest, case: Case, submission: Submission | Path | str) -> Score:
    """The grade of the submission over the held-out episodes. The submitted program runs in a second sandbox.

    It is measured once, for the first test that asks. A fixture `submission` of your own may return a folder with an
    `approach.py`. Then this folder is graded, and no agent runs.
    """
    _proctors(case)
    session = session_of(request)
    given = session.once("given", lambda: pipeline.given_submission(session.builder, submission))

    def grade() -> Score:
        environment, sandbox = request.getfixturevalue("environment"), request.getfixturevalue("sandbox")
        key, live = run_of(request.config).key_of(session.builder.case), live_of(request.config)
        grader = instances.grade_instances if session.builder.instances else pipeline.grade
        score = grader(session.builder, environment, sandbox, given, live, key)
        if command_line(request.config).history:
            growth.grade_versions(session.builder, environment, sandbox, live, key)
        return score

    return session.once("score", grade)
