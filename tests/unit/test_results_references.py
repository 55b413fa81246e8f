"""Runs are named by a folder, a file of records, `last`, `last:N` or a tag."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.commands.main import main
from harness.results.references import find_runs, tag_run
from harness.results.runs import RunError
from tests.support.runs import night, write_run

NAMES = [f"2026112{day}T010000.000Z-nightly" for day in range(1, 6)]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a folder with five runs, one a day."""
    for name in NAMES:
        write_run(tmp_path / "runs" / name, night({("claude", "maze"): [20]}))
    return tmp_path / "runs"


def names(found: list[Path]) -> list[str]:
    return [path.name for path in found]


def test_a_run_is_named_by_its_folder_its_records_or_a_link(runs: Path) -> None:
    for path in (runs / NAMES[2], runs / NAMES[2] / "results.jsonl"):
        assert find_runs(str(path), runs) == [runs / NAMES[2]]
    assert find_runs(str(runs / "latest"), runs) == [runs / NAMES[4]]


def test_a_run_is_named_by_its_name_in_the_folder_of_runs(runs: Path) -> None:
    assert names(find_runs(NAMES[2], runs)) == [NAMES[2]]
    assert names(find_runs("latest", runs)) == [NAMES[4]]


def test_every_command_takes_every_reference(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(runs.parent)
    tag_run(runs / NAMES[0], "good", runs)
    for reference in ("last", "latest", NAMES[1], f"runs/{NAMES[1]}", "tag:good"):
        assert main(["report", reference]) == 0
        assert main(["compare", NAMES[3], reference, "--fail-on", "nothing"]) == 0
        assert main(["tag", reference, "again"]) == 0
        assert main(["merge", reference, "--into", f"merged/{reference.replace('/', '-')}"]) == 0
    assert "claude-qwen-maze" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["show", "last:2", "case"], ["diff", "last:2", "last", "case"]])
def test_a_command_of_one_run_refuses_several(
    runs: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main([*command, "--runs-dir", str(runs)])
    assert exited.value.code == 2
    assert "last:2: name one run, and these are 2" in capsys.readouterr().err


def test_an_empty_reference_is_no_run(runs: Path) -> None:
    with pytest.raises(RunError, match=r"^'': no such run: name a run's folder"):
        find_runs("", runs)


def test_last_is_the_newest_and_last_n_the_newest_n(runs: Path) -> None:
    assert names(find_runs("last", runs)) == NAMES[4:]
    assert names(find_runs("last:3", runs)) == NAMES[2:]
    assert names(find_runs("last:99", runs)) == NAMES, "as many as there are"


def test_the_new_run_is_never_its_own_baseline(runs: Path) -> None:
    new = find_runs("last", runs)
    assert names(find_runs("last", runs, besides=new)) == [NAMES[3]]
    assert names(find_runs("last:2", runs, besides=new)) == NAMES[2:4]


def test_a_baseline_is_of_the_same_suite(runs: Path) -> None:
    write_run(runs / "20261125T120000.000Z-debug", night({("claude", "maze"): [20]}))
    assert names(find_runs("last:2", runs)) == [NAMES[4], "20261125T120000.000Z-debug"]
    assert names(find_runs("last:2", runs, besides=[runs / NAMES[4]])) == NAMES[2:4]
    with pytest.raises(RunError, match=r"last:2: .* has no other run of the suite debug with records"):
        find_runs("last:2", runs, besides=find_runs("last", runs))


def test_runs_without_records_and_other_folders_do_not_count_as_last_n(runs: Path) -> None:
    write_run(runs / "20261129T010000.000Z-nightly", [])
    (runs / "20261130T010000.000Z-notes").mkdir()
    assert names(find_runs("last:2", runs)) == NAMES[3:]
    assert names(find_runs("last", runs)) == ["20261129T010000.000Z-nightly"], "an empty night is not passed over"


def test_a_tag_names_a_run_and_moves(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES[:2]:
        assert main(["tag", str(runs / name), "release-1.0", "--runs-dir", str(runs)]) == 0
        assert capsys.readouterr().out == f"tag:release-1.0 is now {name}\n"
        assert names(find_runs("tag:release-1.0", runs)) == [name]
    assert names(find_runs("last:2", runs)) == NAMES[3:], "tags are not runs"


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("nowhere", "nowhere: no such run: name a run's folder, its results.jsonl, last, last:N or tag:NAME"),
        ("last:", "last:: write last:N with the number of runs, such as last:7"),
        ("last:0", "write last:N"),
        ("last:-1", "write last:N"),
        ("last:²", "write last:N"),
        ("tag:other", "no such tag in .*: the tags are gone, good; `proctor tag RUN other` makes one"),
        ("tag:gone", f"tag:gone: its run {NAMES[0]} was removed"),
        ("tag:../x", "cannot be a tag: use letters"),
    ],
)
def test_a_wrong_reference_is_explained(runs: Path, reference: str, told: str) -> None:
    tag_run(runs / NAMES[0], "gone", runs)
    tag_run(runs / NAMES[1], "good", runs)
    (runs / NAMES[0]).rename(runs.parent / "elsewhere")
    with pytest.raises(RunError, match=told):
        find_runs(reference, runs)


def test_without_runs_the_error_says_so(tmp_path: Path) -> None:
    for reference, told in [("last", "there is no"), ("last:7", "no run with records"), ("tag:x", "there are no tags")]:
        with pytest.raises(RunError, match=told):
            find_runs(reference, tmp_path / "runs")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere", "good"], "no such run"),
        (["last", "-x"], "arguments"),
        (["last", "a/b"], "'a/b' cannot be a tag"),
        (["last:2", "two"], "last:2: name one run, and these are 2"),
    ],
)
def test_what_cannot_be_tagged_is_refused(
    runs: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["tag", *arguments, "--runs-dir", str(runs)])
    assert exited.value.code == 2
    assert told in capsys.readouterr().err
    assert not (runs / "tags").exists()
