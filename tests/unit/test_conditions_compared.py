"""Runs that differ in one condition are refused by its name, and equal ones are not. The records are real ones."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from backends.registry import backend as backend_named
from harness import pipeline
from harness.agent.cli import find_cli
from harness.case import BackendConf, Case, Limits, ModelConf, ProviderConf, SandboxConf
from harness.case_folder import CaseFolder
from harness.commands.main import main
from harness.environment_conf import EnvironmentConf
from harness.environments import fingerprint, maze
from harness.environments.base import PUBLIC_SEEDS
from harness.environments.hosted import HostedEnvironment
from harness.environments.looking import look_at
from harness.gateway.script import load_script
from harness.gateway.scripted import ScriptedProvider
from harness.grading import EvaluationConf
from harness.live.line import LiveLine
from harness.models.model_server import ModelServer
from harness.results.record import Record
from harness.results.record_builder import Origin, RecordBuilder
from harness.results.store import RunStore
from harness.sandbox.dirs import SandboxDirs
from harness.sandbox.factory import make_sandbox
from harness.seed_key import PUBLIC
from tests.support.cases import PROMPT
from tests.support.hosted import made_here
from tests.support.project import ROOT

SILENT = LiveLine(None)
CASE = Case(
    id="claude-scripted-small_maze",
    backend=BackendConf("claude", options={"max_retries": 1, "system_prompt": None}),
    model=ModelConf("scripted", "scripted"),
    provider=ProviderConf("scripted", "scripted", wires=["anthropic_messages"]),
    wire="anthropic_messages",
    environment=EnvironmentConf("small_maze", "maze", {"min_size": 3, "max_size": 5}, max_steps=100),
    prompt=PROMPT,
    sandbox=SandboxConf("bubblewrap", "bubblewrap"),
    limits=Limits(turns=20, wall_s=240),
    evaluation=EvaluationConf(episodes=3),
)

Change = Callable[[RecordBuilder], None]


class Rooms:
    """A place to play the case, as the fixtures do. Each session has a run of its own."""

    def __init__(self, runs: Path, host: pipeline.HttpHost) -> None:
        self.runs = runs
        self._host = host
        self._made = 0

    def builder(self, case: Case) -> RecordBuilder:
        self._made += 1
        folder = CaseFolder(self.runs / f"2026112{self._made}T010000.000Z-nightly" / case.id)
        folder.path.mkdir(parents=True)
        return RecordBuilder(case, folder, Origin(harness="1.0"))

    def play(self, case: Case = CASE) -> RecordBuilder:
        """Play the case with the real CLI, and grade what it handed in."""
        builder, backend = self.builder(case), backend_named("claude")
        dirs = SandboxDirs(make_sandbox(case.sandbox), builder.folder)
        environment = pipeline.make_environment(case)
        provider = ScriptedProvider(load_script(ROOT / "conf/scripts/small_maze.yaml"))
        setup = pipeline.SessionSetup(
            case=case,
            backend=backend,
            cli=find_cli(backend),
            dirs=dirs,
            budget=pipeline.Budget.within(case.limits),
            gateway=pipeline.Gateway(self._host),
            model_server=ModelServer("scripted", lambda: provider, "sha256:1"),
            mcp=pipeline.mcp_config(case.environment, environment, dirs, self._host),
            progress=lambda _: None,
        )
        result = pipeline.run_agent(builder, setup, environment, SILENT)
        assert result.ending == "finished", result.explanation
        pipeline.grade(builder, environment, dirs, pipeline.collect_submission(builder), SILENT, PUBLIC)
        return builder


def grade_again(builder: RecordBuilder) -> None:
    """Grade the submission once more, in a process that has not seen the environment before."""
    environment = pipeline.make_environment(builder.case)
    dirs = SandboxDirs(make_sandbox(builder.case.sandbox), builder.folder)
    given = pipeline.given_submission(builder, builder.folder.submission)
    pipeline.grade(builder, environment, dirs, given, SILENT, PUBLIC)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    with pipeline.HttpHost() as host:
        yield Rooms(tmp_path_factory.mktemp("runs"), host)


@pytest.fixture(scope="module")
def played(rooms: Rooms) -> RecordBuilder:
    return rooms.play()


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """A function that compares two records, each in a run of its own, and returns the conditions that differ."""

    def compare(base: Record, new: Record, *options: str) -> list[str]:
        for name, record in (("base", base), ("new", new)):
            store = RunStore(tmp_path / name)
            store.begin([record.case.id])
            store.append(replace(record, artifacts=None, started_at=None))
            store.end()
        main(["compare", str(tmp_path / "base"), str(tmp_path / "new"), "--json", *options])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        [case] = [one for one in found["comparisons"] if (one["level"], one["measure"]) == ("case", "solve_rate")]
        assert (case["verdict"] == "incomparable") == bool(case["differing"])
        return [change["name"] for change in case["differing"]]

    return compare


Told = Callable[..., list[str]]


def changed(played: RecordBuilder, change: Change) -> Record:
    """Return the record that the builder makes after a change."""
    builder = copy.copy(played)
    builder.versions = dict(played.versions)
    change(builder)
    return builder.record("passed")


def test_equal_sessions_have_equal_conditions_and_are_compared(rooms: Rooms, played: RecordBuilder, told: Told) -> None:
    first, second = played.record("passed"), rooms.play(replace(CASE, replicate=2)).record("passed")
    assert told(first, second) == []
    assert first.conditions == second.conditions
    assert first.conditions_digest == second.conditions_digest
    assert len(str(first.conditions_digest)) == 64
    known = {name for name, value in first.conditions.items() if value is not None}
    assert {"cli", "fingerprint", "prompt", "python", "sampling", "seeds_digest", "tools", "tools_sent"} <= known
    assert first.conditions["api"] == "v1 2023-06-01"
    assert first.conditions["backend.max_retries"] == "1"
    assert "backend.system_prompt" not in first.conditions, "an option that is null is not set"


def test_another_prompt_is_refused_by_name(rooms: Rooms, played: RecordBuilder, told: Told) -> None:
    other = rooms.play(replace(CASE, prompt=replace(PROMPT, rules=f"{PROMPT.rules}\nBe quick.\n")))
    assert told(played.record("passed"), other.record("passed")) == ["prompt"]


def look_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take fingerprints anew, of environments in this process, which the test can change."""
    monkeypatch.setattr(fingerprint, "_taken", {})
    monkeypatch.setattr(HostedEnvironment, "run", lambda *_, seed: look_at(made_here(CASE.environment), seed=seed))


def test_a_problem_that_changed_under_its_name_is_refused(
    played: RecordBuilder, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_here(monkeypatch)
    monkeypatch.setattr(maze, "_DENSITY", 0.1)
    assert told(played.record("passed"), changed(played, grade_again)) == ["fingerprint"]


def test_an_environment_without_a_fingerprint_is_told_once(
    played: RecordBuilder, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reset(one: Any, seed: int) -> Any:
        if seed in PUBLIC_SEEDS:
            raise KeyError("no such maze")
        return whole(one, seed)

    whole = maze.Maze.reset
    look_here(monkeypatch)
    monkeypatch.setattr(maze.Maze, "reset", reset)

    def twice(builder: RecordBuilder) -> None:
        grade_again(builder)
        grade_again(builder)

    record = changed(played, twice)
    assert record.warnings == ["environment small_maze has no fingerprint: KeyError: 'no such maze'"]
    assert record.score == played.score, "it is graded all the same"
    assert told(played.record("passed"), record) == ["fingerprint"]


def regraded(**changes: Any) -> Change:
    """Return a change of the case under which the submission is graded again."""

    def change(builder: RecordBuilder) -> None:
        builder.case = replace(builder.case, **changes)
        grade_again(builder)

    return change


def test_other_seeds_and_another_sandbox_are_refused_by_name(played: RecordBuilder, told: Told) -> None:
    base = played.record("passed")
    assert told(base, changed(played, regraded(evaluation=EvaluationConf(episodes=3, seed=1)))) == ["seeds_digest"]
    none = SandboxConf("none", "none")
    assert told(base, changed(played, regraded(sandbox=none))) == ["sandbox"]


def case(**changes: Any) -> Change:
    def change(builder: RecordBuilder) -> None:
        builder.case = replace(builder.case, **changes)

    return change


def learnt(**found: object) -> Change:
    return lambda builder: builder.learn(**found)


def version(name: str) -> Change:
    def change(builder: RecordBuilder) -> None:
        builder.versions[name] = "other"

    return change


def digests(**changes: str) -> Change:
    def change(builder: RecordBuilder) -> None:
        builder.digests = replace(builder.digests, **changes)

    return change


LOCAL = ProviderConf("scripted", "ollama", wires=["anthropic_messages"])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("api", learnt(api="v2")),
        ("backend.max_retries", case(backend=BackendConf("claude", options={"max_retries": 2}))),
        (
            "backend.system_prompt",
            case(backend=replace(CASE.backend, options={"max_retries": 1, "system_prompt": "x"})),
        ),
        ("cli", version("cli")),
        ("cli_path", version("cli_path")),
        ("context", case(model=replace(CASE.model, context=8192))),
        ("environment", version("environment")),
        ("environment_arguments", case(environment=replace(CASE.environment, arguments={"max_size": 5}))),
        ("episode_wall_s", case(evaluation=replace(CASE.evaluation, episode_wall_s=1.0))),
        ("fingerprint", learnt(fingerprint="0" * 64)),
        ("gpu_driver", learnt(gpu_driver="570.86.15")),
        ("instructions", digests(instructions="other")),
        ("limits.turns", case(limits=replace(CASE.limits, turns=None))),
        ("max_steps", case(environment=replace(CASE.environment, max_steps=50))),
        ("model", case(model=replace(CASE.model, served_as="another"))),
        ("model_digest", version("model_digest")),
        ("pass_solve_rate", case(environment=replace(CASE.environment, pass_solve_rate=0.5))),
        ("provider", case(provider=replace(CASE.provider, name="other"))),
        ("provider.base_url", case(provider=replace(CASE.provider, base_url="https://llm.invalid"))),
        ("python", learnt(python="3.99.0")),
        ("sampling", learnt(sampling="temperature=2")),
        ("sandbox.tmp_mb", case(sandbox=replace(CASE.sandbox, tmp_mb=1))),
        ("sandbox.uid", case(sandbox=replace(CASE.sandbox, options={"uid": 7}))),
        ("server", learnt(server="0.33.1")),
        ("server_context", learnt(server_context=8192)),
        ("solved_when", case(environment=replace(CASE.environment, solved_when="return > 0"))),
        ("tools", digests(tools="other")),
        ("tools_sent", learnt(tools_sent="other")),
        ("wire", case(wire="openai_chat")),
    ],
)
def test_one_condition_that_differs_is_refused_by_name(
    played: RecordBuilder, told: Told, name: str, change: Change
) -> None:
    base, new = played.record("passed"), changed(played, change)
    assert told(base, new) == [name]
    assert base.conditions_digest != new.conditions_digest
    assert told(base, new, "--allow-drift", name) == []


@pytest.mark.parametrize(
    ("base", "new", "differing"),
    [
        ({"threads": 1}, {"threads": 2}, ["server.threads"]),
        ({"variables": {"A": "1"}}, {}, ["server.variables"]),
        ({"start_s": 1.0, "executable": "a"}, {"start_s": 2.0, "load_s": 3.0}, []),
        ({"file": "/here/a.gguf"}, {"file": "/there/a.gguf"}, []),
    ],
)
def test_the_options_of_a_model_server_count_if_they_change_answers(
    played: RecordBuilder, told: Told, base: dict[str, Any], new: dict[str, Any], differing: list[str]
) -> None:
    first, second = (
        changed(played, case(provider=LOCAL, model=replace(CASE.model, server=options))) for options in (base, new)
    )
    assert told(first, second) == differing


def test_the_weights_are_told_by_their_name_if_their_digest_is_not_known(played: RecordBuilder, told: Told) -> None:
    def of(name: str) -> Record:
        def change(builder: RecordBuilder) -> None:
            case(provider=LOCAL, model=replace(CASE.model, server={"weights": name}))(builder)
            builder.versions["model_digest"] = None

        return changed(played, change)

    assert told(of("one"), of("other")) == ["server.weights"]


def test_a_case_whose_server_did_not_start_differs_in_nothing(played: RecordBuilder, rooms: Rooms, told: Told) -> None:
    """It is missing, and its digests are not known. Its replicates are still compared."""
    local = case(provider=LOCAL, model=replace(CASE.model, server={"weights": "one", "threads": 1}))
    base, lost = changed(played, local), changed(rooms.builder(CASE), local)
    assert lost.score is None
    assert told(base, lost) == told(lost, base) == []


def test_a_session_that_never_asked_its_model_is_compared(played: RecordBuilder, told: Told) -> None:
    """A CLI that hangs before its first request has got worse. Nobody knows what it would have asked."""
    silent = changed(played, learnt(api=None, tools_sent=None, sampling=None))
    assert told(played.record("passed"), silent) == []


def test_a_record_of_an_older_version_differs_in_one_condition(played: RecordBuilder, told: Told) -> None:
    new = played.record("passed")
    older = replace(new, conditions={}, conditions_digest=None)
    assert told(older, older) == []
    assert told(older, new) == ["unrecorded"]
    assert told(older, new, "--allow-drift", "unrecorded") == []
    assert told(older, changed(played, version("cli")), "--allow-drift", "unrecorded") == ["cli"]
