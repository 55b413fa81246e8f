"""KinDER's environments need no file: an id stands for an entry, in suites and on the command line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.environments.kinder_ids import CLASSES, all_ids, entry_name, ids_of, require_id, short_name, with_names
from harness.environments.worlds import conf_of
from harness.suite.config import Config, load
from harness.suite.matrix import cases
from tests.support.project import CONF

MOTION = "kinder/Motion2D-p1-v0"
TOSSING = "kinder/Tossing3D-o2-v0"


def suite(*environments: str, further: tuple[str, ...] = (), also: tuple[str, ...] = ()) -> Config:
    return load(CONF, "default", (f"suite.environments=[{','.join(environments)}]", *also), further)


def test_an_id_in_a_suite_stands_for_an_entry() -> None:
    config = suite("small_maze", MOTION)
    assert list(config.environment) == ["small_maze", "motion2d_p1"]
    assert config.environment["motion2d_p1"] == conf_of(MOTION)
    assert {case.id for case in cases(config)} >= {"claude-scripted-motion2d_p1", "claude-scripted-small_maze"}


def test_what_needs_an_engine_runs_in_the_extra_and_the_rest_in_proctors_python() -> None:
    for one in all_ids():
        conf = conf_of(one)
        assert (conf.interpreter == "worlds") == (require_id(one).engine is not None)
        assert conf.interpreter is not None or require_id(one).family == "kinematic2d"
        assert conf.arguments == {"id": one}


def test_an_id_on_the_command_line_is_added_and_can_be_set_and_excluded() -> None:
    config = suite("small_maze", further=(TOSSING, "small_maze"), also=("environment.tossing3d_o2.max_steps=7",))
    assert config.environment["tossing3d_o2"].max_steps == 7
    rule = f"suite.exclude=[{{backend: claude, environment: {MOTION}}}]"
    made = [case.id for case in cases(suite("small_maze", MOTION, also=(rule,)))]
    assert "opencode-scripted-motion2d_p1" in made
    assert "claude-scripted-motion2d_p1" not in made


def test_a_file_of_the_same_name_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    shutil.copytree(CONF.own, folder)
    text = f"name: motion2d_p1\nkind: kinder\narguments: {{id: {MOTION}}}\nmax_steps: 77\n"
    (folder / "environment/motion2d_p1.yaml").write_text(text)
    config = load(ConfPath.of(tmp_path), "default", [f"suite.environments=[{MOTION}]"])
    assert config.environment["motion2d_p1"].max_steps == 77


@pytest.mark.parametrize(
    ("settings", "further", "said"),
    [
        ("small_maze,kinder/Motion2d-p1-v0", "", r"^conf/suite/default.yaml: suite.environments: KinDER has no .*Mo"),
        (
            "small_maze",
            "kinder/Tossing3D-o3-v0",
            r"^--environment kinder/Tossing3D-o3-v0: .* kinder/Tossing3D-o2-v0",
        ),
        ("kinder/Door", "", r"KinDER has no environment 'kinder/Door'; its classes are ClutteredRetrieval2D, "),
    ],
)
def test_an_unknown_id_is_refused_and_near_ones_are_named(settings: str, further: str, said: str) -> None:
    with pytest.raises(ConfError, match=said):
        suite(settings, further=(further,))


def test_an_unknown_id_in_a_file_is_refused_unless_the_interpreter_is_the_users(tmp_path: Path) -> None:
    text = "name: mine\nkind: kinder\narguments: {id: kinder/Mine2D-v0}\n"
    (tmp_path / "conf/environment").mkdir(parents=True)
    file = tmp_path / "conf/environment/mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfError, match=r"^conf/environment/mine.yaml: environment mine: KinDER has no environment"):
        load(ConfPath.of(tmp_path), "default", ["suite.environments=[mine]"])
    file.write_text(f"{text}interpreter: /opt/mine/bin/python\n")
    assert load(ConfPath.of(tmp_path), "default", ["suite.environments=[mine]"])


def test_there_are_125_ids_in_33_classes_and_their_names_differ() -> None:
    assert (len(all_ids()), len(CLASSES)) == (125, 33)
    names = {short_name(one) for one in all_ids()}
    assert len(names) == 125
    assert all(re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name) for name in names)


def test_the_shipped_files_have_two_environments_of_each_class_that_has_two() -> None:
    shipped: dict[str, set[str]] = {name: set() for name in CLASSES}
    for file in (CONF.own / "environment").glob("*.yaml"):
        conf = yaml.safe_load(file.read_text())
        if conf["kind"] == "kinder" and "id" in conf["arguments"]:
            one = conf["arguments"]["id"]
            shipped[one.removeprefix("kinder/").partition("-")[0]].add(one)
            assert conf.get("interpreter") == conf_of(one).interpreter, file
            assert file.stem != short_name(one) or conf.get("call_s", 20) == conf_of(one).call_s, file
    assert {name: len(ids) for name, ids in shipped.items() if len(ids) < min(2, len(ids_of(name)))} == {}


@given(st.text(alphabet="kinder/Motion2D-p1v0 _()", max_size=30), st.sampled_from(all_ids()))
def test_an_expression_of_k_names_ids_by_their_names(before: str, one: str) -> None:
    assert with_names(f"{before} and {one}").endswith(f" and {short_name(one)}")
    assert with_names(before) == before or any(known in before for known in all_ids())
    assert entry_name(one) == short_name(one)
    assert entry_name(short_name(one)) == short_name(one)
