"""A killed session has written keys into its files. Neither the end of its run nor a merge keeps them."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import IO

import pytest

from harness.case_folder import CaseFolder
from harness.commands.main import main
from harness.results.sealing import seal_run
from harness.results.store import RunStore, read
from tests.support.archives import archived
from tests.unit.test_results import record

KEY = "sk-host/0123+4567=89_abcdef"
GITHUB = f"ghp_{'aB3' * 12}"
NAME = "claude-scripted-small_maze"
HOLDS_KEY = "(not stored: it holds the key in ANTHROPIC_API_KEY)"


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CaseFolder:
    """The folder of a case of a killed run, which nobody has searched for keys."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    store = RunStore(tmp_path / "runs/killed")
    store.begin([NAME])
    case = CaseFolder(store.run / NAME)
    (case.workspace / "deep").mkdir(parents=True)
    (case.workspace / "approach.py").write_text("mine")
    (case.workspace / "key").write_text(KEY)
    (case.workspace / "deep/encoded").write_bytes(base64.b64encode(KEY.encode()))
    (case.attempt(1).home).mkdir(parents=True)
    (case.attempt(1).home / "token").write_text(GITHUB)
    case.stream.write_text(f'{{"said": "{KEY}"}}\n')
    case.prompt.write_text("the task")
    store.append(record(NAME, artifacts=NAME))
    store.end()
    return case


def require_no_key(case: CaseFolder) -> None:
    assert set(archived(case.workspace_archive)) == {"", "approach.py", "deep"}
    listing = case.workspace_listing.read_text()
    assert f"workspace/key  {HOLDS_KEY}" in listing
    assert f"workspace/deep/encoded  {HOLDS_KEY}" in listing
    assert "(not stored: it holds a GitHub token)" in case.attempt(1).home_listing.read_text()
    assert set(archived(case.attempt(1).home_archive)) == {""}
    assert case.prompt.read_text() == "the task"
    assert not case.stream.exists()


def test_the_seal_of_a_killed_run_keeps_no_key(killed: CaseFolder) -> None:
    told = seal_run(killed.path.parent, {"the key in ANTHROPIC_API_KEY": KEY})
    assert told == [f"{killed.path}: stream.jsonl is withheld: it holds the key in ANTHROPIC_API_KEY"]
    require_no_key(killed)


def test_a_merge_takes_no_key(
    killed: CaseFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(killed.path.parents[2])
    assert main(["merge", str(killed.path.parent), "--into", "runs/merged"]) == 0
    told = "stream.jsonl is withheld: it holds the key in ANTHROPIC_API_KEY"
    assert f"{NAME}: {told}" in capsys.readouterr().err
    require_no_key(CaseFolder(Path("runs/merged") / NAME))
    [merged] = read(Path("runs/merged/results.jsonl"))
    assert merged.warnings == [told]
    assert (killed.workspace / "key").read_text() == KEY, "the run stays as it is"


def test_a_file_that_cannot_be_searched_is_not_stored(killed: CaseFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(stream: IO[bytes], **_: object) -> list[str]:
        if isinstance(stream, io.BytesIO):  # a name, which lies in memory
            return []
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("harness.results.sealing.scan", fails)
    seal_run(killed.path.parent, {})
    assert set(archived(killed.workspace_archive)) == {"", "deep"}
    assert "approach.py  (not stored: Input/output error)" in killed.workspace_listing.read_text()
