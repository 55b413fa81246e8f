"""The configuration: the cases that a suite composes to, and the error for each mistake in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backends.registry import names
from harness.adapters import executable_of, own_options
from harness.budget_conf import BudgetConf, PaceConf
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.suite.config import load
from harness.suite.matrix import cases
from tests.support.project import CONF


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A copy of the shipped configuration, in which tests make mistakes."""
    return Path(shutil.copytree(CONF.own, tmp_path / "conf"))


def ids(*settings: str) -> list[str]:
    return [case.id for case in cases(load(CONF, "default", settings))]


def test_the_default_suite_has_two_backends_the_scripted_model_and_two_environments() -> None:
    assert ids() == [
        "claude-scripted-small_maze",
        "claude-scripted-motion2d_easy",
        "opencode-scripted-small_maze",
        "opencode-scripted-motion2d_easy",
    ]


def test_every_shipped_suite_and_entry_composes() -> None:
    environments = ",".join(sorted(path.stem for path in (CONF.own / "environment").glob("*.yaml")))
    assert cases(load(CONF, "default", [f"suite.environments=[{environments}]"]))
    for suite in sorted(path.stem for path in (CONF.own / "suite").glob("*.yaml")):
        assert cases(load(CONF, suite))


def test_replicates_are_numbered_only_if_there_are_several() -> None:
    assert ids("suite.replicates=2", "suite.backends=[claude]", "suite.environments=[small_maze]") == [
        "claude-scripted-small_maze-r1",
        "claude-scripted-small_maze-r2",
    ]


def test_an_exclusion_leaves_out_cases_that_match_all_its_fields() -> None:
    assert ids("suite.exclude=[{backend: claude, environment: small_maze}]") == [
        "claude-scripted-motion2d_easy",
        "opencode-scripted-small_maze",
        "opencode-scripted-motion2d_easy",
    ]


@pytest.mark.parametrize(
    "rule", ["backend: gemini", "model: gpt", "environment: large_maze", "environment: kinder/Tossing3D-o2-v0"]
)
def test_a_rule_for_what_the_suite_does_not_select_leaves_nothing_out(rule: str) -> None:
    assert ids(f"suite.exclude=[{{{rule}}}]") == ids()


@pytest.mark.parametrize(
    ("setting", "reads"),
    [
        ("limits.turns=3", lambda c: c.limits.turns == 3),
        ("limits.wall_s=2.5", lambda c: c.limits.wall_s == 2.5),
        ("environment.small_maze.max_steps=7", lambda c: c.environment["small_maze"].max_steps == 7),
        (
            "environment.small_maze.arguments.max_size=4",
            lambda c: c.environment["small_maze"].arguments["max_size"] == 4,
        ),
        ("model.scripted.script=other", lambda c: c.model["scripted"].script == "other"),
        ("model.scripted.context=8192", lambda c: c.model["scripted"].context == 8192),
        ("backend.opencode.options.variant=high", lambda c: c.backend["opencode"].options["variant"] == "high"),
        ("+backend.claude.options.max_retries=2", lambda c: c.backend["claude"].options["max_retries"] == 2),
        ("suite.budget.cost_usd=5", lambda c: c.suite.budget == BudgetConf(cost_usd=5)),
        ("provider.scripted.daily_budget.tokens=9", lambda c: c.provider["scripted"].daily_budget.tokens == 9),
        ("provider.scripted.pace.concurrent=2", lambda c: c.provider["scripted"].pace == PaceConf(concurrent=2)),
        ("sandbox.tmp_mb=64", lambda c: c.sandbox.tmp_mb == 64),
        ("sandbox.options.uid=60001", lambda c: c.sandbox.options == {"uid": 60_001}),
    ],
)
def test_any_key_can_be_set(setting: str, reads: object) -> None:
    assert callable(reads)
    assert reads(load(CONF, "default", [setting]))


def test_a_key_of_a_part_that_is_null_can_be_set() -> None:
    config = load(CONF, "default", ["suite.budget=null", "suite.budget.cost_usd=5", "suite.budget.tokens=7"])
    assert config.suite.budget == BudgetConf(cost_usd=5, tokens=7)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize(
    ("file", "mode", "said"),
    [
        ("nowhere/agent", None, "does not exist"),
        ("agent", 0o644, "is not executable: run `chmod +x` on it"),
        ("", None, "is not a file"),
    ],
)
def test_an_executable_that_cannot_be_run_is_refused(
    tmp_path: Path, name: str, file: str, mode: int | None, said: str
) -> None:
    path = tmp_path / file
    if mode is not None:
        path.touch(mode)
    settings = [f"suite.backends=[{name}]", f"backend.{name}.options.executable={path}"]
    with pytest.raises(ConfError) as refused:
        load(CONF, "default", settings)
    assert str(refused.value) == f"conf/backend/{name}.yaml: backend.{name}.options.executable: {path} {said}"


@pytest.mark.parametrize(
    ("executable", "said"),
    [
        ("bin/agent", "bin/agent must begin with / or ~/"),
        ("'~nobody-at-all/agent'", "~nobody-at-all/agent cannot be used: Could not determine home directory"),
        ("3", "Expected `text | null`, got `int` - at `$.executable`; the options are: tools"),
        ("''", "of length >= 1"),
    ],
)
def test_an_executable_is_a_path_from_the_root_or_from_a_home(executable: str, said: str) -> None:
    with pytest.raises(ConfError) as refused:
        load(CONF, "default", [f"backend.claude.options.executable={executable}"])
    assert said in str(refused.value)


def test_an_executable_in_the_users_home_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "agent").touch(0o755)
    config = load(CONF, "default", ["backend.claude.options.executable='~/agent'"])
    assert executable_of(config.backend["claude"]) == tmp_path / "agent"
    assert "executable" not in own_options(config.backend["claude"])
    assert executable_of(config.backend["opencode"]) is None


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("limits.turnz=1", ["limits.turnz", "conf/config.yaml", "limits.turns", "limits.wall_s"]),
        ("limits.turns=abc", ["--set limits.turns=abc", "conf/config.yaml", "Expected `int | null`, got `text`"]),
        ("limits.turns=0", ["limits.turns", ">= 1"]),
        ("limits.wall_s=inf", ["--set limits.wall_s=inf", "conf/config.yaml", "Expected `float` <= "]),
        ("limits.wait_s=inf", ["limits.wait_s", "Expected `float` <= "]),
        ("limits.disk_mb=inf", ["limits.disk_mb", "Expected `float` <= "]),
        ("evaluation.episode_wall_s=nan", ["evaluation.episode_wall_s", "Expected `float`"]),
        ("limits=3", ["limits", "turns, tokens"]),
        ("nonsense=1", ["unknown key nonsense", "suite, sandbox, limits"]),
        ("nonsense.key=1", ["unknown key nonsense", "suite, sandbox, limits"]),
        ("limits.turns", ["--set limits.turns", "KEY=VALUE"]),
        ("environment.small_maze.solved_when=return >= 2", ["in quotes, --set 'KEY=\"a: b\"'"]),
        ("backend.claude.options.executable=~/claude", ["in quotes, --set 'KEY=\"a: b\"'"]),
        ("backend.claude.options.system_prompt=Yes, please", ["several values", "in quotes", "in brackets"]),
        ("limits.turns=1,2", ["--set limits.turns=1,2: this gives several values"]),
        ("limits.turns=range(1,3)", ["--set limits.turns=range(1,3): this gives several values"]),
        ("suite=default", ["--suite", "default"]),
        ("sandbox=nope", ["conf/sandbox/nope.yaml", "bubblewrap, docker, none"]),
        (
            "sandbox=none",
            ["allow_no_sandbox", "conf/suite/default.yaml", "sandbox=none", "apptainer, auto"],
        ),
        ("sandbox.kind=none", ["allow_no_sandbox", "conf/suite/default.yaml", "sandbox=bubblewrap"]),
        ("sandbox.kind=jail", ["conf/sandbox/bubblewrap.yaml", "sandbox.kind", "jail", "bubblewrap, docker, none"]),
        ("sandbox.options.user=1", ["conf/sandbox/bubblewrap.yaml", "sandbox.options", "user", "uid"]),
        ("suite.backends=[nope]", ["conf/suite/default.yaml", "suite.backends", "conf/backend/nope.yaml", "claude"]),
        ("suite.backends.first=pi", ["suite.backends is a list: write it whole, --set suite.backends=[a, b]"]),
        ("suite.models=[]", ["suite.models is empty", "scripted"]),
        ("suite.exclude=[{backend: claud}]", ["suite.exclude: there is no backend claud", "did you mean claude"]),
        ("suite.exclude=[{environment: kinder/Door}]", ["suite.exclude: KinDER has no environment 'kinder/Door'"]),
        ("suite.exclude=[{backnd: pi}]", ["suite.exclude[0]", "`backnd`; valid: backend, model, environment"]),
        ("+model.scripted.price={inpt: 1}", ["model.scripted.price", "`inpt`; valid: input, output, cache_read"]),
        ("+model.scripted.price={input: .inf, output: 1}", ["model.scripted.price", "Expected `float"]),
        ("environment=large_maze", ["suite.environments=", "large_maze"]),
        (
            "environment.large_maze.max_steps=3",
            ["(conf/suite/default.yaml) uses no environment large_maze", "small_maze"],
        ),
        ("environment.small_maze.steps=3", ["conf/environment/small_maze.yaml", "environment.small_maze.max_steps"]),
        ("model.scripted.provider=nope", ["conf/model/scripted.yaml", "no provider nope", "scripted"]),
        ("backend.opencode.options.colour=red", ["conf/backend/opencode.yaml", "colour", "variant, log_level"]),
        ("backend.claude.options.max_retries=-1", ["conf/backend/claude.yaml", "max_retries"]),
        ("model.scripted.gpus=1", ["conf/model/scripted.yaml", "model.scripted.gpus", "ollama, vllm, llamacpp"]),
        ("provider.scripted.options.pull=true", ["provider.scripted.options", "ollama, vllm, llamacpp"]),
        (
            "provider.scripted.kind=azure",
            ["provider.scripted.kind", "'azure'", "choose from: scripted, cassette, remote"],
        ),
        ("provider.scripted.wires=[soap]", ["provider.scripted.wires", "'soap'", "choose from: openai_chat"]),
        (
            "environment.small_maze.arguments.colour=1",
            ["conf/environment/small_maze.yaml", "takes: min_size, max_size"],
        ),
        ("++environment.motion2d_easy.arguments.idd=x", ["conf/environment/motion2d_easy.yaml", "takes: id, kwargs"]),
        ("~environment.small_maze.arguments.max_size", ["missing a required argument: 'max_size'"]),
        ("evaluation.episodes=0", ["evaluation.episodes", ">= 1"]),
        ("evaluation.episodes=1.5", ["evaluation.episodes", "Expected `int | null`, got `float`"]),
        ("limits.turns=${nowhere}", ["nowhere"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_file_and_the_choices(setting: str, parts: list[str]) -> None:
    with pytest.raises(ConfError) as caught:
        load(CONF, "default", [setting])
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_address_is_named_before_anything_runs() -> None:
    with pytest.raises(ConfError, match=r"provider\.ollama\.base_url: http://h:1/v1 .*leave it out"):
        load(CONF, "nightly", ["provider.ollama.base_url=http://h:1/v1"])


def test_an_unknown_suite_is_named_with_the_choices() -> None:
    with pytest.raises(ConfError, match=r"--suite nope: there is no suite nope .*choose from: .*default"):
        load(CONF, "nope")


@pytest.mark.parametrize(
    ("file", "text", "parts"),
    [
        ("config.yaml", "colours: 3\n", ["conf/config.yaml", "colours", "limits"]),
        ("suite/default.yaml", "replicates: many\n", ["conf/suite/default.yaml", "suite.replicates"]),
        ("backend/claude.yaml", "colour: red\n", ["conf/backend/claude.yaml", "colour", "options"]),
        ("provider/scripted.yaml", "key_variable: [1]\n", ["conf/provider/scripted.yaml", "key_variable"]),
        ("environment/small_maze.yaml", "  bad: [\n", ["conf/"]),
    ],
)
def test_a_mistake_in_a_file_is_named(conf: Path, file: str, text: str, parts: list[str]) -> None:
    with (conf / file).open("a") as stream:
        stream.write(text)
    with pytest.raises(ConfError) as caught:
        load(ConfPath.of(conf.parent), "default")
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["config", "suite/more", "backend/more", "environment/more"])
def test_a_file_that_is_not_read_for_its_ending_is_told(conf: Path, name: str) -> None:
    (conf / f"{name}.yml").write_text("name: more\n")
    suite = "name: default\nbackends: all\nmodels: [scripted]\nenvironments: [small_maze, more]\n"
    (conf / "suite/default.yaml").write_text(suite)
    hint = rf"conf/{name}\.yml is not read: rename it to \w+\.yaml$"
    with pytest.raises(ConfError, match=hint):
        load(ConfPath.of(conf.parent), "more" if name == "suite/more" else "default")


def test_an_entry_must_have_the_name_of_its_file(conf: Path) -> None:
    (conf / "backend/claude.yaml").write_text("name: clyde\n")
    with pytest.raises(ConfError, match=r"conf/backend/claude\.yaml: .*name must be claude"):
        load(ConfPath.of(conf.parent), "default")
