"""Which program a folder, a file or an import path names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.evaluation.program import GivenProgram, PolicyEntry, find_program, program_in
from harness.evaluation.submission import collect


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    for name in (
        "plain/approach.py",
        "plain/helper.py",
        "alone.py",
        "repo/src/lab_x/__init__.py",
        "repo/src/lab_x/base.py",
        "repo/src/lab_x/push/__init__.py",
        "repo/src/lab_x/push/approach.py",
        "repo/src/other/secret.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("" if name.endswith("__init__.py") else "class Walk: ...\nPush = Walk\n")
    before = list(sys.path)
    yield tmp_path.resolve()
    sys.path[:] = before


def test_a_folder_is_the_program_of_its_approach(here: Path) -> None:
    plain = GivenProgram(here / "plain", ".", "approach.py", PolicyEntry("approach", None))
    assert find_program("plain", here=here) == find_program("plain/approach.py", here=here) == plain
    assert find_program(str(here / "plain"), here=Path("/")) == plain
    named = find_program("plain", "Walk", here=here)
    assert named == find_program("plain:Walk", here=here)
    assert str(named.entry) == "approach:Walk"
    assert find_program("alone.py", here=here).entry == PolicyEntry("alone", None)
    assert find_program("plain", "helper:Walk", here=here).file == "helper.py"


@pytest.mark.parametrize("inside", ["submission", "sandbox", "src"])
def test_the_program_in_the_folder_of_a_case_of_a_run_or_of_a_repository_is_found(here: Path, inside: str) -> None:
    (here / "plain").rename(here / inside)
    assert find_program(".", here=here).root == here / inside


PUSH = PolicyEntry("lab_x.push.approach", None, ("lab_x/push", "."))


def test_a_folder_of_a_package_is_graded_with_the_package(here: Path, tmp_path: Path) -> None:
    found = find_program("repo/src/lab_x/push", here=here)
    assert found == GivenProgram(here / "repo/src", "lab_x", "lab_x/push/approach.py", PUSH)
    assert program_in(here / "repo/src/lab_x/push") == found
    copied = collect(found.root, tmp_path / "out", part=found.part, required=found.file)
    assert copied.reason is None
    assert sorted(copied.files) == [
        "lab_x/__init__.py",
        "lab_x/base.py",
        "lab_x/push/__init__.py",
        "lab_x/push/approach.py",
    ]
    gone = collect(found.root, tmp_path / "gone", part=found.part, required="lab_x/pull/approach.py")
    assert gone.reason == "no submission: lab_x/pull is missing"


@pytest.mark.parametrize("folder", ["repo", "repo/src"])
def test_a_class_is_named_by_its_import_path_in_a_folder(here: Path, folder: str) -> None:
    found = find_program(folder, "lab_x.push.approach:Push", here=here)
    entry = PolicyEntry("lab_x.push.approach", "Push")
    assert found == GivenProgram(here / "repo/src", ".", "lab_x/push/approach.py", entry)


def test_a_class_is_named_by_its_import_path_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(here / "repo/src"))
    found = find_program("lab_x.push.approach:Push", here=here)
    entry = PolicyEntry("lab_x.push.approach", "Push")
    assert found == GivenProgram(here / "repo/src", "lab_x", "lab_x/push/approach.py", entry)


@pytest.mark.parametrize(
    ("given", "policy", "told"),
    [
        ("nowhere", None, "nowhere does not exist: name a folder with an approach.py"),
        ("repo", None, "repo has no approach.py; name the folder that holds it, or a class with --policy"),
        ("plain", "no:such:thing", "'no:such:thing' is not a policy: write CLASS or MODULE:CLASS"),
        ("plain", "lab.walk:Walk", "plain has no lab/walk.py"),
        ("plain", "Run", "plain/approach.py has no class Run; it has Walk"),
        ("repo/src/lab_x/push:Run", None, "approach.py has no class Run; it has Walk"),
        ("plain:Walk", "Walk", "plain:Walk names the class Walk, so --policy Walk cannot"),
        ("no_such_module_x.policies:Walk", None, "there is no module no_such_module_x"),
        ("repo/src/lab_x", None, "lab_x has no approach.py"),
    ],
)
def test_what_is_no_program_is_refused(here: Path, given: str, policy: str | None, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        find_program(given, policy, here=here)
