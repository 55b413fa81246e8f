"""Writing configuration into an agent's folder never follows a link that the agent left there."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from harness.agent.files import holds, write_inside


def test_folders_are_created_and_files_replaced(tmp_path: Path) -> None:
    for text in ("one", "two"):
        write_inside(tmp_path, PurePosixPath("a/b/c.json"), text)
    assert (tmp_path / "a/b/c.json").read_text() == "two"


def test_a_link_in_place_of_the_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "file").symlink_to(outside)
    write_inside(inside, PurePosixPath("file"), "new")
    assert outside.read_text() == "untouched"
    assert not (inside / "file").is_symlink()


@pytest.mark.parametrize("kind", ["link", "file", "pipe"])
def test_what_is_in_place_of_a_folder_is_replaced_and_not_followed(tmp_path: Path, kind: str) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    in_the_way = inside / ".claude"
    if kind == "link":
        in_the_way.symlink_to(outside)
    elif kind == "file":
        in_the_way.touch()
    else:
        os.mkfifo(in_the_way)
    write_inside(inside, PurePosixPath(".claude/settings/file"), "new")
    assert (inside / ".claude/settings/file").read_text() == "new"
    assert list(outside.iterdir()) == []


def test_a_folder_in_place_of_the_file_is_moved_out_of_the_way(tmp_path: Path) -> None:
    (tmp_path / "file/theirs").mkdir(parents=True)
    write_inside(tmp_path, PurePosixPath("file"), "new")
    assert (tmp_path / "file").read_text() == "new"
    assert [path.name for path in tmp_path.glob("file.*/*")] == ["theirs"]


@pytest.mark.parametrize("name", ["/etc/file", "../file", "a/../../file"])
def test_a_path_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="leads outside"):
        write_inside(tmp_path, PurePosixPath(name), "new")


def test_any_pattern_may_find_a_file_and_folders_do_not_count(tmp_path: Path) -> None:
    write_inside(tmp_path, PurePosixPath("sessions/2026/rollout-7.jsonl"), "")
    assert holds(tmp_path, ["no/such.db", "sessions/*/rollout-7.jsonl"])
    assert not holds(tmp_path, ["sessions/*/rollout-8.jsonl"])
    assert not holds(tmp_path, ["sessions/*"])
    assert not holds(tmp_path, [])
