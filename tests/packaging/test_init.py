"""`proctor init` writes a small project and never overwrites a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.commands.main import main
from tests.support.project import ROOT

FILES = {"conf/suite/default.yaml", "test_cases.py", ".gitignore", "pytest.ini"}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_it_writes_the_project_into_the_current_folder_and_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert files(tmp_path) == FILES
    told = capsys.readouterr().out
    assert all(f"wrote   {name}\n" in told for name in FILES)
    assert [line.split("#")[0].strip() for line in told.partition("Next:\n")[2].splitlines()] == [
        "proctor setup",
        "pytest",
        "pytest -k opencode",
        "proctor seed",
    ]


def test_a_folder_is_created_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "a b" / "lab"
    assert main(["init", str(folder)]) == 0
    assert files(folder) == FILES
    assert f"    cd '{folder}'\n" in capsys.readouterr().out


def test_the_suite_names_packaged_entries_and_the_test_is_the_shipped_one(tmp_path: Path) -> None:
    main(["init", str(tmp_path)])
    suite = yaml.safe_load((tmp_path / "conf/suite/default.yaml").read_text())
    assert suite.pop("name") == "default"
    for group, chosen in suite.items():
        for name in chosen:
            assert (ROOT / f"conf/{group.removesuffix('s')}/{name}.yaml").is_file()
    assert (tmp_path / "test_cases.py").read_text() == (ROOT / "tests/evaluation/test_cases.py").read_text()


def test_runs_are_ignored_by_git(tmp_path: Path) -> None:
    main(["init", str(tmp_path)])
    assert (tmp_path / ".gitignore").read_text() == "runs/\n"


def test_a_file_that_exists_is_left_alone_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("test_cases.py", ".gitignore"):
        (tmp_path / name).write_text("mine\n")
    assert main(["init", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert f"exists  {tmp_path / 'test_cases.py'}: left as it is\n" in told
    assert f"exists  {tmp_path / '.gitignore'}: left as it is; add `runs/` to it\n" in told
    assert (tmp_path / "test_cases.py").read_text() == (tmp_path / ".gitignore").read_text() == "mine\n"
    assert files(tmp_path) == FILES


def test_a_second_call_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", str(tmp_path)])
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    capsys.readouterr()
    assert main(["init", str(tmp_path)]) == 0
    assert "wrote" not in capsys.readouterr().out
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[tool.pytest.ini_options]\n"),
        ("pyproject.toml", "[project]\nname = 'x'\n\n[tool.pytest]\n"),
        ("setup.cfg", "[tool:pytest]\n"),
        ("tox.ini", "[pytest]\n"),
    ],
)
def test_a_project_that_configures_pytest_keeps_its_configuration(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    main(["init", str(tmp_path)])
    assert files(tmp_path) == FILES - {"pytest.ini"} | {name}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[tool.pytest.ini_options]\ntestpaths = ['tests']\n"),
        ("pytest.ini", "[pytest]\ntestpaths = tests\n"),
    ],
)
def test_testpaths_that_may_leave_out_the_new_test_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    main(["init", str(tmp_path)])
    told = f"exists  {tmp_path / name}: left as it is; if its `testpaths` leave out test_cases.py, add it there\n"
    assert told in capsys.readouterr().out
    assert (tmp_path / name).read_text() == text


def test_a_project_file_that_does_not_configure_pytest_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n[tool.pytest-watch]\n")
    main(["init", str(tmp_path)])
    assert "pytest.ini" in files(tmp_path)
