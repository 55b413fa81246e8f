"""What a run cannot do without is flushed to disk before anything relies on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.case_folder import CaseFolder
from harness.results.begun import BEGUN, Begun, write_begun
from harness.results.drafts import write_draft
from harness.results.run_folder import CASES, RESULTS
from harness.results.sealing import seal_run
from harness.results.store import RunStore
from tests.support.runs import record


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """The names of the files and folders that were flushed, in order, with the contents of files at that time."""
    seen: list[tuple[str, bytes]] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        seen.append((path.name, path.read_bytes() if path.is_file() else b""))
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    return seen


def test_the_files_that_resume_needs_are_flushed_before_they_have_their_names(
    tmp_path: Path, flushed: list[tuple[str, bytes]]
) -> None:
    run = tmp_path / "run"
    write_begun(run, Begun(tests={"test": "case"}))
    store = RunStore(run)
    store.begin(["case"])
    store.append(record("claude", "maze", 1, solved=20, artifacts=None))
    hidden = {name: f".{name}.{os.getpid()}" for name in (BEGUN, CASES)}
    assert [name for name, _ in flushed] == [hidden[BEGUN], "run", hidden[CASES], "run", tmp_path.name, RESULTS, "run"]
    contents = dict(flushed)
    assert contents[hidden[BEGUN]] == (run / BEGUN).read_bytes()
    assert contents[hidden[CASES]] == (run / CASES).read_bytes()
    assert contents[RESULTS] == (run / RESULTS).read_bytes()
    store.end()


def test_a_draft_is_flushed_before_it_has_its_name(tmp_path: Path, flushed: list[tuple[str, bytes]]) -> None:
    folder = CaseFolder(tmp_path / "case")
    write_draft(folder, record("claude", "maze", 1, solved=20))
    assert flushed == [("draft.new", folder.draft.read_bytes())]


def test_what_a_kill_left_of_such_a_file_is_removed_at_the_end_of_the_next_session(tmp_path: Path) -> None:
    for name in (BEGUN, CASES, RESULTS):
        (tmp_path / f".{name}.123").touch()
        (tmp_path / name).touch()
    assert seal_run(tmp_path, {}) == []
    assert {path.name for path in tmp_path.iterdir()} == {BEGUN, CASES, RESULTS}
