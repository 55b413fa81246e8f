"""A folder that an agent has made unreadable hides nothing: not its size, not its changes, and it can be removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from harness.agent.files import holds, set_aside, write_inside
from harness.agent.settle import digest, settle
from harness.case_folder import CaseFolder
from harness.sandbox.monitor import BoxMonitor
from harness.untrusted.removal import discard
from tests.support.fakes import FakeClock
from tests.support.ordinary_user import as_ordinary_user, folder_of_an_ordinary_user

MODES = [0o000, 0o100, 0o300, 0o400, 0o600]
BYTES = 300_000


@pytest.fixture
def place() -> Iterator[Path]:
    with folder_of_an_ordinary_user() as folder:
        yield folder


def hide(top: Path, mode: int) -> None:
    """Write a large file two folders deep, and give both folders, and `top`, this mode."""
    (top / "outer/inner").mkdir(parents=True)
    (top / "outer/inner/large").write_bytes(b"x" * BYTES)
    for folder in (top / "outer/inner", top / "outer", top):
        folder.chmod(mode)


@pytest.mark.parametrize("mode", MODES)
def test_the_disk_limit_counts_what_an_unreadable_folder_holds(place: Path, mode: int) -> None:
    def measured() -> int:
        hide(place / "workspace", mode)
        return BoxMonitor(os.getpid(), [place / "workspace"]).measure(100.0).disk_bytes

    assert as_ordinary_user(measured) >= BYTES


@pytest.mark.parametrize("mode", MODES)
def test_settling_sees_what_changes_in_an_unreadable_folder(place: Path, mode: int) -> None:
    def differs() -> bool:
        hide(place / "home", mode)
        before = digest([place / "home"])
        for folder in ("home", "home/outer", "home/outer/inner"):
            (place / folder).chmod(0o700)
        (place / "home/outer/inner/large").write_text("small")
        for folder in ("home/outer/inner", "home/outer", "home"):
            (place / folder).chmod(mode)
        return digest([place / "home"]) != before

    assert as_ordinary_user(differs)


def test_a_settled_folder_can_be_searched_written_to_moved_and_removed(place: Path) -> None:
    def used() -> tuple[bool, bool, list[str]]:
        folder = CaseFolder(place)
        hide(folder.workspace, 0o500)
        hide(folder.home, 0o000)
        settle((folder.workspace, folder.home), FakeClock())
        found = holds(folder.home, ["outer/*/large"])
        write_inside(folder.home, PurePosixPath("outer/inner/config"), "x")
        set_aside(folder, 1, fresh=True)
        moved = (place / "attempt-1/home/outer/inner/config").exists()
        discard(place / "attempt-1/home")
        return found, moved, sorted(path.name for path in (place / "attempt-1").iterdir())

    assert as_ordinary_user(used) == (True, True, ["workspace"])


@pytest.mark.parametrize("mode", MODES)
def test_an_unreadable_folder_is_removed(place: Path, mode: int) -> None:
    def left() -> list[Path]:
        hide(place / "home", mode)
        discard(place / "home")
        return list(place.iterdir())

    assert as_ordinary_user(left) == []


def test_a_file_is_written_although_the_folders_above_it_were_locked(place: Path) -> None:
    def written() -> str:
        hide(place / "home", 0o000)
        write_inside(place / "home", PurePosixPath("outer/inner/config"), "text")
        return (place / "home/outer/inner/config").read_text()

    assert as_ordinary_user(written) == "text"


def test_a_link_in_place_of_an_unreadable_folder_is_not_followed(place: Path) -> None:
    def mode_outside() -> int:
        (place / "outside").mkdir()
        (place / "outside").chmod(0o300)
        (place / "workspace").mkdir()
        (place / "workspace/link").symlink_to(place / "outside")
        digest([place / "workspace"])
        return (place / "outside").stat().st_mode & 0o777

    assert as_ordinary_user(mode_outside) == 0o300
