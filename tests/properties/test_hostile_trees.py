"""Whatever an agent leaves: to collect, pack, merge or remove it never raises, never follows a link, and ends."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings

from harness.case_folder import CaseFolder
from harness.evaluation.submission import collect
from harness.results.taking import take
from harness.untrusted.archive import archive_of, keep, listing_of
from harness.untrusted.removal import discard, wait
from tests.support.archives import archived
from tests.support.hostile_trees import PlantedFolder, an_outside, hostile_trees, nest, plain_traps, plant
from tests.support.ordinary_user import as_ordinary_user, folder_of_an_ordinary_user

MEMORY = next((place for place in ("/dev/shm",) if os.access(place, os.W_OK)), None)  # noqa: S108 - a fast file system
few = settings(max_examples=15, deadline=None)  # each example makes many files, twice


def attacked(tree: PlantedFolder, attack: str) -> None:
    """Plant the tree and deal with it, as this user, who may be root, and as an ordinary user."""
    with folder_of_an_ordinary_user(MEMORY) as place:
        as_ordinary_user(lambda: _attack(place / "one", tree, attack))
        _attack(place / "two", tree, attack)


def _attack(place: Path, tree: PlantedFolder, attack: str) -> None:
    place.mkdir()
    with an_outside(place):
        case = CaseFolder(place / "case")
        case.make()
        plant(case.workspace, tree)
        CHECKS[attack](case)
        assert case.clear(60.0) == []


def check_removing(case: CaseFolder) -> None:
    discard(case.workspace)
    assert not os.path.lexists(case.workspace)
    wait(60)
    assert list(case.path.iterdir()) == []


def check_packing(case: CaseFolder) -> None:
    keep(case.workspace)
    wait(60)
    if not list(case.path.iterdir()):
        return  # it was empty
    assert {path.name for path in case.path.iterdir()} == {"workspace.tar.gz", "workspace.txt"}
    members = archived(case.workspace_archive)
    assert all(member.isreg() or member.isdir() for member in members.values())
    assert {member.mode for member in members.values()} <= {0o644, 0o755}
    assert all(".." not in Path(name).parts and not name.startswith("/") for name in members)
    listing = case.workspace_listing.read_text()
    assert listing.replace("\n", "").isprintable()
    stored = [line for line in listing.splitlines() if not line.startswith("#") and "  (not stored: " not in line]
    assert len(stored) == len(members)
    for path in (case.workspace_archive, case.workspace_listing):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def check_collecting(case: CaseFolder) -> None:
    submission = collect(case.workspace, case.submission)
    assert plain_traps(case.submission) == []
    assert all(path.stat().st_mode & 0o7777 in {0o644, 0o755} for path in case.submission.rglob("*"))
    assert "\n".join(submission.left_out).replace("\n", "").isprintable()


def check_merging(case: CaseFolder) -> None:
    case.workspace.rename(case.path / "submission")  # as an older version may have left it
    nest(case.path, 1)
    target = case.path.parent / "merged"
    take(case.path, target, {})
    assert plain_traps(target) == []


CHECKS = {"remove": check_removing, "pack": check_packing, "collect": check_collecting, "merge": check_merging}


@pytest.mark.parametrize("attack", CHECKS)
@few
@given(tree=hostile_trees)
def test_nothing_raises_and_nothing_outside_is_touched(attack: str, tree: PlantedFolder) -> None:
    attacked(tree, attack)


@pytest.mark.parametrize("attack", CHECKS)
def test_thousands_of_nested_folders_are_no_obstacle(attack: str) -> None:
    attacked(PlantedFolder({"a": PlantedFolder(mode=0o000, depth=3000), "approach.py": PlantedFolder()}), attack)


def test_names_of_the_archive_and_the_listing() -> None:
    assert archive_of(Path("a/home")) == CaseFolder(Path("a")).home_archive
    assert listing_of(Path("a/home")) == CaseFolder(Path("a")).home_listing
