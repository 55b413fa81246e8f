"""The search path of the configuration: a project's own folder first, then the packaged one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.packaged import packaged_conf
from tests.support.project import CONF, ROOT

PACKAGED = packaged_conf()
KINDS = ["apptainer", "auto", "bubblewrap", "docker", "none", "podman"]


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_projects_own_file_hides_the_packaged_one_of_its_name(tmp_path: Path) -> None:
    conf = ConfPath.of(tmp_path)
    assert conf.find("suite/smoke.yaml") == PACKAGED / "suite/smoke.yaml"
    own = write(tmp_path / "conf/suite/smoke.yaml")
    assert conf.find("suite/smoke.yaml") == own
    assert conf.every("suite/smoke.yaml") == [own, PACKAGED / "suite/smoke.yaml"]
    assert conf.find("suite/nope.yaml") is None


def test_the_choices_of_a_group_come_from_both_folders_each_once(tmp_path: Path) -> None:
    for name in ("bubblewrap", "mine"):
        write(tmp_path / f"conf/sandbox/{name}.yaml")
    assert ConfPath.of(tmp_path).choices("sandbox") == sorted([*KINDS, "mine"])
    assert ConfPath.of(tmp_path).choices("nonesuch") == []


def test_a_project_without_a_conf_folder_has_the_packaged_one(tmp_path: Path) -> None:
    assert ConfPath.of(tmp_path).choices("sandbox") == KINDS
    assert ConfPath.of(tmp_path).own == tmp_path / "conf"


def test_in_a_checkout_of_proctor_both_folders_are_the_same(tmp_path: Path) -> None:
    assert CONF.folders == (ROOT / "conf",)
    linked = tmp_path / "checkout"
    linked.symlink_to(ROOT)
    assert ConfPath.of(linked).folders == (linked / "conf",)


def test_messages_name_the_file_that_is_read(tmp_path: Path) -> None:
    write(tmp_path / "conf/model/mine.yaml")
    message = "conf/model/mine.yaml, conf/model/scripted.yaml, conf/config.yaml, conf/model/nope.yaml, /a/conf/x.yaml"
    assert ConfPath.of(tmp_path).located(message) == (
        f"conf/model/mine.yaml, {PACKAGED}/model/scripted.yaml, {PACKAGED}/config.yaml, conf/model/nope.yaml, "
        "/a/conf/x.yaml"
    )
    assert CONF.located(message) == message


def test_an_error_is_raised_again_with_the_file_that_is_read(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfError, match=rf"^{PACKAGED}/suite/pr\.yaml: wrong"),
        ConfPath.of(tmp_path).naming_files(),
    ):
        raise ConfError("conf/suite/pr.yaml: wrong")
