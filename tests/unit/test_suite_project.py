"""A project's own configuration: what it overrides, what it adds, and the errors for its mistakes."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from backends.registry import backend, names
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.packaged import packaged_conf
from harness.suite import matrix
from harness.suite.config import Config, load, load_providers
from harness.suite.matrix import cases
from tests.support.own_project import FILES

PACKAGED = packaged_conf()
SUITE = "name: mine\nbackends: {backends}\nmodels: [{model}]\nenvironments: [door]\n"
NUMBERS = itertools.count()

Files = Mapping[str, str | bytes]
Loader = Callable[..., Config]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """A function that loads the suite `mine` of a project with these extra files. It gives `mylab` a unique name."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    package = f"mylab{next(NUMBERS)}"

    def loaded(files: Files | None = None, suite: str = "mine", settings: Sequence[str] = ()) -> Config:
        for name, content in {**FILES, **(files or {})}.items():
            path = tmp_path / name.replace("mylab", package)
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            path.write_bytes(data.replace(b"mylab", package.encode()))
        return load(ConfPath.of(tmp_path), suite, settings)

    return loaded


def ids(config: Config) -> list[str]:
    return [case.id for case in cases(config)]


def test_its_suite_and_entries_exist_beside_the_packaged_ones(project: Loader) -> None:
    config = project()
    assert ids(config) == ["lean-scripted-door"]
    assert config.backend["lean"].adapter is not None
    assert set(config.provider) == {path.stem for path in (PACKAGED / "provider").glob("*.yaml")}
    assert ids(project(suite="default"))[0] == "claude-scripted-small_maze", "a packaged suite"


def test_its_file_replaces_a_packaged_one(project: Loader) -> None:
    maze = "name: small_maze\nkind: maze\narguments: {min_size: 3, max_size: 4}\n"
    own = {"conf/environment/small_maze.yaml": maze}
    config = project(own, "smoke")
    assert config.environment["small_maze"].max_steps == 1000, "nothing of the packaged file remains"
    assert config.environment["small_maze"].arguments == {"min_size": 3, "max_size": 4}


def test_its_config_holds_only_what_it_changes(project: Loader) -> None:
    own = "limits: {turns: 10}\nenvironment: {door: {max_steps: 5}, small_maze: {max_steps: 6}}\nevaluation:\n"
    config = project({"conf/config.yaml": own})
    assert config.limits.turns == 10
    assert config.limits.wall_s == 1800.0
    assert config.evaluation.episode_wall_s == 60.0
    assert config.sandbox.name == "bubblewrap"
    assert config.environment["door"].max_steps == 5, "it overrides the file of the environment"
    assert list(config.environment) == ["door"], "entries of other suites are left out"


def test_a_setting_overrides_its_config(project: Loader) -> None:
    config = project({"conf/config.yaml": "limits: {turns: 10}\n"}, settings=["limits.turns=3"])
    assert config.limits.turns == 3


def test_its_config_chooses_the_sandbox(project: Loader) -> None:
    own = {"conf/config.yaml": "defaults: [sandbox: loose]\n", "conf/sandbox/loose.yaml": "name: loose\nkind: none\n"}
    suite = SUITE.format(backends="[lean]", model="scripted") + "allow_no_sandbox: true\n"
    assert project({**own, "conf/suite/mine.yaml": suite}).sandbox.name == "loose"
    assert project(settings=["sandbox=bubblewrap"]).sandbox.name == "bubblewrap"


def test_all_backends_means_the_ones_with_a_file(project: Loader) -> None:
    suite = {"conf/suite/mine.yaml": SUITE.format(backends="all", model="scripted")}
    everyone = sorted([*names(), "lean"])
    assert ids(project(suite)) == [f"{name}-scripted-door" for name in everyone]
    assert {case.backend.name for case in cases(project(suite="smoke"))} == set(everyone), "in packaged suites too"


def test_exclusions_may_reduce_all_backends_and_an_error_lists_them(
    project: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "can_translate", lambda: False)
    suite = SUITE.format(backends="all", model="gemini")
    with pytest.raises(ConfError, match="claude cannot use model gemini") as refused:
        ids(project({"conf/suite/mine.yaml": suite}))
    able = [name for name in names() if "google_generate" in backend(name).capabilities.wires]
    rules = [f"{{backend: {name}, model: gemini}}" for name in sorted([*names(), "lean"]) if name not in able]
    assert str(refused.value).endswith(f"add to suite.exclude: {', '.join(rules)}")
    exclude = f"exclude: [{', '.join(rules)}]\n"
    assert ids(project({"conf/suite/mine.yaml": suite + exclude})) == [f"{name}-gemini-door" for name in able]


def test_its_providers_are_read_together_with_the_packaged_ones(tmp_path: Path) -> None:
    path = tmp_path / "conf/provider/ours.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("name: ours\nkind: remote\nwires: []\nkey_variable: OUR_KEY\n")
    providers = load_providers(ConfPath.of(tmp_path))
    assert providers["ours"].key_variable == "OUR_KEY"
    assert providers["anthropic"].key_variable == "ANTHROPIC_API_KEY"
    path.write_text("name: ours\n")
    with pytest.raises(ConfError, match=r"^conf/provider/ours\.yaml: provider\.ours: .*kind"):
        load_providers(ConfPath.of(tmp_path))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.yaml", "- 1\n", "conf/config.yaml: must be a mapping"),
        ("config.yaml", "colours: {red: 1}\n", "conf/config.yaml: unknown key colours; valid: suite, sandbox"),
        ("config.yaml", "limits: [3]\n", "conf/config.yaml: limits: must be a mapping"),
        ("config.yaml", "limits: {turnz: 3}\n", "conf/config.yaml: limits: .*`turnz`; valid: turns"),
        ("config.yaml", "limits: {turns: many}\n", "conf/config.yaml: limits.turns: Expected `int"),
        (
            "config.yaml",
            "environment: {dor: {}}\n",
            "conf/config.yaml: environment.dor: .*; did you mean door",
        ),
        (
            "config.yaml",
            "environment: {door: {max_steps: 0}}\n",
            "conf/config.yaml: environment.door.max_steps: ",
        ),
        ("config.yaml", "defaults: [db: mysql]\n", "conf/config.yaml: defaults: .*mysql.*valid: {sandbox: NAME}"),
        ("config.yaml", "defaults: [sandbox: jail]\n", "conf/config.yaml: defaults: there is no sandbox jail"),
        ("config.yaml", b"\xff\xfe", "conf/config.yaml: is not UTF-8: byte 0 is 0xff; save the file as UTF-8$"),
        ("suite/mine.yaml", b"\xff\xfe", "conf/suite/mine.yaml: is not UTF-8: byte 0 is 0xff"),
        ("suite/mine.yaml", "- a\n", "conf/suite/mine.yaml: suite: Expected `mapping`, got `list`"),
        (
            "suite/mine.yaml",
            SUITE.format(backends="[lean]", model="scripted") + "exclude: [{}]\n",
            "conf/suite/mine.yaml: suite.exclude: a rule that names nothing leaves out every case",
        ),
        ("suite/mine.yaml", "", "conf/suite/mine.yaml: suite: .*missing required field `name`"),
        ("suite/mine.yaml", "name: [\n", r"\S+/conf/suite/mine.yaml|conf/suite/mine.yaml: while parsing"),
        (
            "suite/mine.yaml",
            "name: ours\nbackends: all\nmodels: [scripted]\nenvironments: [door]\n",
            "conf/suite/mine.yaml: suite.name must be mine, the name of the file",
        ),
        (
            "suite/mine.yaml",
            SUITE.format(backends="lean", model="scripted"),
            "conf/suite/mine.yaml: suite.backends: .*'lean'; choose from: all, or a list of names",
        ),
        ("model/m.yaml", "name: m\nprovider: ${nowhere}\n", "conf/model/m.yaml: .*'nowhere' not found"),
        ("model/m.yaml", "name: m\n", "conf/model/m.yaml: model.m: .*missing required field `provider`"),
        ("provider/4.1.yaml", "name: '4.1'\n", "conf/provider/4.1.yaml: rename this file"),
    ],
)
def test_a_mistake_is_named_with_the_projects_own_file(
    project: Loader, file: str, content: str | bytes, said: str
) -> None:
    suite = {} if "suite" in file else {"conf/suite/mine.yaml": SUITE.format(backends="[lean]", model="scripted, m")}
    model = {"conf/model/m.yaml": "name: m\nprovider: scripted\n"}
    with pytest.raises(ConfError, match=f"^({said})") as refused:
        project({**suite, **model, f"conf/{file}": content})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "file"),
    [
        ("limits.wall_s=x", "config.yaml"),
        ("provider.scripted.options={pull: true}", "provider/scripted.yaml"),
        ("provider.scripted.kind=azure", "provider/scripted.yaml"),
    ],
)
def test_a_mistake_in_a_packaged_entry_is_named_with_the_packaged_file(
    project: Loader, setting: str, file: str
) -> None:
    with pytest.raises(ConfError, match=rf"{PACKAGED}/{file}: {setting.partition('=')[0]}"):
        project({"conf/config.yaml": "limits: {turns: 3}\n"}, settings=[setting])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("nope", "there is no kind 'nope'; choose from: maze, gymnasium, kinder, .* or write the import path"),
        ("mylb.envs:Door", "kind: there is no module mylb: it is neither in the project's root folder nor installed"),
        ("mylab.envs:Window", "kind: .*/envs.py has no Window"),
        ("mylab.envs:Door\narguments: {colour: red}", "arguments.colour: there is no such argument; .* takes: length"),
        (
            "mylab.envs:Door\narguments: {max_steps: 3}",
            "arguments.max_steps: write max_steps beside `arguments`",
        ),
        ("mylab.env:Door", "kind: there is no module mylab.*env; mylab.* is .*/mylab"),
        ("'mylab.envs:'", "kind: 'mylab.*envs:' is not an import path: write MODULE:NAME"),
        ("./mylab/envs.py:Door", "is not an import path"),
    ],
)
def test_an_environment_that_cannot_be_found_is_refused_at_collection(project: Loader, kind: str, said: str) -> None:
    with pytest.raises(ConfError, match=rf"^conf/environment/door\.yaml: environment door: .*{said}"):
        project({"conf/environment/door.yaml": f"name: door\nkind: {kind}\n"})


def test_an_environment_is_found_without_importing_its_package(project: Loader) -> None:
    suite = SUITE.format(backends="[claude]", model="scripted")
    config = project({"mylab/__init__.py": "raise RuntimeError\n", "conf/suite/mine.yaml": suite})
    assert ids(config) == ["claude-scripted-door"]


def test_its_root_is_importable_only_if_the_suite_names_a_module(project: Loader, tmp_path: Path) -> None:
    lake = "name: lake\nkind: gymnasium\narguments: {id: 'mylab.gym:mylab/Lake-v0'}\n"
    suite = "name: lake\nbackends: [claude]\nmodels: [scripted]\nenvironments: [lake]\n"
    files = {"conf/environment/lake.yaml": lake, "conf/suite/lake.yaml": suite}
    project(files, "default")
    assert str(tmp_path) not in sys.path
    project(files, "lake")
    assert sys.path[-1] == str(tmp_path), "after all others"


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        ("mylab.backends", "'mylab.*backends' is not an import path"),
        ("nonesuch.backends:BACKEND", "there is no module nonesuch: it is neither in the project's root folder nor"),
        ("mylab.backend:BACKEND", "there is no module mylab.*backend; mylab.* is .*/mylab"),
        ("mylab.backends:OTHER", "/backends.py has no OTHER"),
        ("mylab.backends:Lean", "must be an instance of a subclass of backends.base.Backend, not the class Lean"),
        ("os:sep", "must be an instance of a subclass of backends.base.Backend, not an object of type str"),
    ],
)
def test_an_object_that_is_not_an_adapter_is_refused(project: Loader, adapter: str, said: str) -> None:
    with pytest.raises(ConfError, match=rf"^conf/backend/lean\.yaml: backend\.lean\.adapter: .*{said}"):
        project({"conf/backend/lean.yaml": f"name: lean\nadapter: {adapter}\n"})


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\n1 / 0\n", "/backends.py, line 2: ZeroDivisionError: division by zero"),
        ("x = (\n", r"/backends.py, line 1: SyntaxError: '\(' was never closed"),
        ("import nonesuch\n", "mylab.*backends imports nonesuch, which is not installed"),
        ("class BACKEND:\n    name = 'lean'\n", "not the class BACKEND"),
        ("from backends.claude import BACKEND\n", "the name of Claude must be 'lean', not 'claude'"),
    ],
)
def test_an_adapters_module_that_fails_is_refused_with_a_clear_error(project: Loader, code: str, said: str) -> None:
    with pytest.raises(ConfError, match=rf"^conf/backend/lean\.yaml: backend\.lean\.adapter: .*{said}"):
        project({"mylab/backends.py": code})


def test_an_adapter_that_lacks_parts_is_refused_with_their_names(project: Loader) -> None:
    code = (
        "from backends.base import Backend\n\nclass Bare(Backend):\n    name = 'lean'\n\n"
        "Bare.__abstractmethods__ = frozenset()\nBACKEND = Bare()\n"
    )
    with pytest.raises(ConfError, match="Bare lacks installation, options, capabilities"):
        project({"mylab/backends.py": code})


def test_the_options_of_a_projects_own_adapter_are_checked(project: Loader) -> None:
    conf = "name: lean\nadapter: mylab.backends:BACKEND\noptions: {colour: red}\n"
    with pytest.raises(ConfError, match=r"^conf/backend/lean\.yaml: backend\.lean\.options: .*the options are: tools"):
        project({"conf/backend/lean.yaml": conf})


PROMPT = "defaults: [default, _self_]\nname: {name}\n{more}"


def prompt_names(config: Config) -> list[str]:
    return [case.prompt.name for case in cases(config)]


def test_an_environment_chooses_the_prompt_over_the_suite_and_the_suite_over_the_root(project: Loader) -> None:
    files = {f"conf/prompt/{name}.yaml": PROMPT.format(name=name, more="") for name in ("root", "suite", "door")}
    assert prompt_names(project()) == ["default"]
    files["conf/config.yaml"] = "defaults: [prompt: root]\n"
    assert prompt_names(project(files)) == ["root"]
    assert prompt_names(project(files, settings=["suite.prompt=suite"])) == ["suite"]
    both = ["suite.prompt=suite", "environment.door.prompt=door"]
    assert prompt_names(project(files, settings=both)) == ["door"]


def test_its_prompt_may_change_one_part_of_the_packaged_one(project: Loader) -> None:
    own = {"conf/prompt/mine.yaml": PROMPT.format(name="mine", more="rules: Be quick.\ntell_limits: false\n")}
    [case] = cases(project(own, settings=["suite.prompt=mine", "prompt.mine.resume=Go on."]))
    assert case.prompt.rules == "Be quick."
    assert not case.prompt.tell_limits
    assert case.prompt.resume == "Go on."
    assert "GeneratedApproach" in case.prompt.interface


@pytest.mark.parametrize(
    ("files", "settings", "parts"),
    [
        ({}, ["suite.prompt=nope"], ["conf/suite/mine.yaml: suite.prompt", "conf/prompt/nope.yaml", "default"]),
        ({}, ["environment.door.prompt=nope"], ["conf/environment/door.yaml: environment.door.prompt", "default"]),
        ({"conf/config.yaml": "defaults: [prompt: nope]\n"}, [], ["conf/config.yaml: defaults", "no prompt nope"]),
        ({}, ["prompt=mine"], ["--set prompt=mine", "--set suite.prompt=NAME (choices: default)"]),
        ({}, ["prompt.default.hints=x"], ["unknown key prompt.default.hints", "prompt.default.rules"]),
        ({}, ["prompt.default.rules='{{ no }}'"], ["--set prompt.default.rules=", "line 1 ({{ no }}): there is no"]),
        (
            {"conf/prompt/default.yaml": "name: default\ntask: Play.\n"},
            [],
            ["conf/prompt/default.yaml: prompt.default", "missing required field `interface`"],
        ),
        (
            {"conf/prompt/default.yaml": PROMPT.format(name="default", more="")},
            [],
            ["conf/prompt/default.yaml: defaults: a file cannot include itself"],
        ),
        (
            {"conf/prompt/m.yaml": PROMPT.format(name="m", more="hints: x\n")},
            ["suite.prompt=m"],
            ["conf/prompt/m.yaml: prompt.m", "unknown field `hints`", "valid: name, task, interface"],
        ),
        (
            {"conf/prompt/m.yaml": PROMPT.format(name="m", more="rules: |\n  a\n  {{ b }}\n")},
            ["suite.prompt=m"],
            ["conf/prompt/m.yaml: prompt.m.rules: line 2 ({{ b }}): there is no variable b; choose from: description"],
        ),
        (
            {"conf/config.yaml": "prompt: {default: {task: '{% if %}'}}\n"},
            [],
            ["conf/config.yaml: prompt.default.task: line 1 ({% if %})"],
        ),
        (
            {
                "conf/prompt/m.yaml": PROMPT.format(
                    name="m", more="task: ''\ninterface: ''\ntools: ''\nlimits: ''\nrules: ''\n"
                )
            },
            ["suite.prompt=m"],
            ["conf/prompt/m.yaml: prompt.m.task", "the prompt is empty"],
        ),
        ({}, ["prompt.default.resume=''"], ["prompt.default.resume", "renders to nothing"]),
        ({}, ["environment.door.tools=[draw]"], ["environment.door.tools", "'draw'", "render_state, render_policy"]),
        (
            {},
            ["environment.door.tools=[]", "environment.door.needs_mcp=true"],
            ["conf/environment/door.yaml", "needs_mcp is true", "tools is empty"],
        ),
    ],
)
def test_a_mistake_in_a_prompt_or_its_choice_is_named(
    project: Loader, files: Files, settings: list[str], parts: list[str]
) -> None:
    with pytest.raises(ConfError) as caught:
        cases(project(files, settings=settings))
    for part in parts:
        assert part in str(caught.value)
