"""Merging the results of shards gives every case exactly once, with its files, or a clear error and no output."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.case_folder import CaseFolder
from harness.commands.main import main
from harness.results.merge import merge, merged_name
from harness.results.record import Record
from harness.results.runs import RunError
from harness.results.store import RunStore, read
from tests.support.archives import archived
from tests.support.hostile_trees import nest
from tests.unit.test_results import record


def run(folder: Path, *artifacts: str, skipped: str = "", missing: Sequence[str] = ()) -> Path:
    """Write a run with these folders of cases, a skipped case, and cases without a record. Return its folder."""
    store = RunStore(folder)
    store.begin([*artifacts, *([skipped] if skipped else []), *missing])
    for name in artifacts:
        (folder / name / "submission").mkdir(parents=True)
        (folder / name / "submission/approach.py").write_text(f"# of {name}")
        store.append(record(name.partition(".")[0], artifacts=name))
    if skipped:
        store.append(record(skipped, outcome="skipped"))
    store.end()
    return folder


def names(records: list[Record]) -> list[str]:
    return [one.artifacts or one.case.id for one in records]


@settings(max_examples=15)  # it writes files
@given(
    shards=st.lists(st.sampled_from("abc"), min_size=12, max_size=12).map(
        lambda owners: [[f"case{i}" for i, owner in enumerate(owners) if owner == shard] for shard in "abc"]
    )
)
def test_shards_merged_equal_the_whole(shards: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("runs")
    runs = [run(folder / f"{i}", *cases) for i, cases in enumerate(shards) if cases]
    whole = run(folder / "whole", *sorted(case for cases in shards for case in cases))
    merged = folder / "merged"
    merge(runs, merged, {})
    merge(list(reversed(runs)), folder / "again", {})
    assert read(merged / "results.jsonl") == read(folder / "again/results.jsonl") == read(whole / "results.jsonl")
    files = [{path.relative_to(top) for path in top.rglob("*")} for top in (merged, whole)]
    assert files[0] == files[1]


def test_each_test_of_a_case_keeps_its_folder_and_skipped_cases_stay(tmp_path: Path) -> None:
    runs = [run(tmp_path / "1", "b", "b.10", "b.2"), run(tmp_path / "2", "a", skipped="c")]
    merge(runs, tmp_path / "all", {})
    assert names(read(tmp_path / "all/results.jsonl")) == ["a", "b", "b.2", "b.10", "c"]
    assert (tmp_path / "all/b.10/submission/approach.py").read_text() == "# of b.10"
    assert (tmp_path / "1/b.10/submission/approach.py").exists(), "the runs stay as they are"


def test_the_last_record_counts_for_a_case_that_a_resumed_run_ran_again(tmp_path: Path) -> None:
    resumed = run(tmp_path / "1", "a")
    again = record("a", artifacts="a", explanation="the second time")
    RunStore(resumed).append(again)
    merge([resumed, run(tmp_path / "2", "b")], tmp_path / "all", {})
    assert read(tmp_path / "all/results.jsonl")[0] == again


def test_what_an_agent_left_as_plain_files_is_packed(tmp_path: Path) -> None:
    one = run(tmp_path / "1", "a")
    for place in ("a/workspace", "a/attempt-1/home"):  # the run was killed, or is of an older version
        (one / place / "deep").mkdir(parents=True)
        (one / place / ".git").write_text("gitdir: deep")
        (one / place / "away").symlink_to("/etc/hostname")
    nest(one / "a/workspace/deep", 100)
    (one / "a/workspace/deep").chmod(0)
    os.mkfifo(one / "a/attempt-1/home/pipe")
    (one / "a/submission/workspace").mkdir()
    (one / "a/submission/workspace/x.py").write_text("theirs")
    for trap in (".git", "conftest.py"):
        (one / "a/submission" / trap).write_text("")

    merge([one], tmp_path / "all", {})

    merged = CaseFolder(tmp_path / "all/a")
    assert sorted(path.name for path in merged.path.iterdir()) == [
        "attempt-1", "result.json", "submission", "workspace.tar.gz", "workspace.txt"
    ]  # fmt: skip
    assert {".git", "deep"} <= archived(merged.workspace_archive).keys()
    assert "home/away  (not stored: a symlink to /etc/hostname)" in merged.attempt(1).home_listing.read_text()
    assert sorted(path.name for path in merged.submission.rglob("*")) == ["approach.py", "workspace", "x.py"]
    assert (one / "a/workspace/.git").exists(), "the runs stay as they are"


def test_a_merged_run_is_for_its_owner_alone(tmp_path: Path) -> None:
    merge([run(tmp_path / "1", "a")], tmp_path / "all", {})
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("all", "all/a", "all/a/submission")} == {0o700}


def cut(folder: Path) -> None:
    (folder / "results.jsonl").write_text('{"schema": 1}\n')


def other_schema(folder: Path) -> None:
    line = msgspec.json.encode(record("a", schema=2))
    (folder / "results.jsonl").write_bytes(line + b"\n")


def folder_outside(folder: Path) -> None:
    (folder / "results.jsonl").write_bytes(msgspec.json.encode(record("a", artifacts="../2")) + b"\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut, "results.jsonl:1: not a record"),
        (other_schema, "has schema 2; this version of Proctor reads schema 1"),
        (folder_outside, "its folder ../2 is not a folder in that of the run"),
        (lambda folder: (folder / "results.jsonl").unlink(), "the run has no records"),
        (lambda folder: (folder / "results.jsonl").write_text(""), "the run has no records"),
    ],
)
def test_a_run_that_cannot_be_read_is_named_and_nothing_is_written(tmp_path: Path, spoil: object, message: str) -> None:
    runs = [run(tmp_path / "1", "a"), run(tmp_path / "2", "b")]
    assert callable(spoil)
    spoil(runs[0])
    with pytest.raises(RunError) as caught:
        merge(runs, tmp_path / "all", {})
    assert str(runs[0]) in str(caught.value)
    assert message in str(caught.value)
    assert not (tmp_path / "all").exists()


def test_a_case_in_two_runs_is_an_error_that_names_both(tmp_path: Path) -> None:
    runs = [run(tmp_path / "1", "a", "b"), run(tmp_path / "2", "b")]
    with pytest.raises(RunError, match=r"b is in .*/1 and in .*/2: only runs"):
        merge(runs, tmp_path / "all", {})
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").symlink_to("1")
    with pytest.raises(RunError, match="/1, which is given twice"):
        merge([runs[0], tmp_path / "latest"], tmp_path / "all", {})


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    one = run(tmp_path / "1", "a")
    with pytest.raises(RunError, match="already exists"):
        merge([one], one, {})
    assert read(one / "results.jsonl") == [record("a", artifacts="a")]


def test_a_merge_that_fails_halfway_leaves_nothing(tmp_path: Path) -> None:
    one = run(tmp_path / "1", "a")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RunError, match="file/all"):
        merge([one], tmp_path / "file/all", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "file", "latest"]


def test_the_merged_run_is_named_by_the_suite(tmp_path: Path) -> None:
    shards = [tmp_path / "20260102T030405.006Z-nightly", tmp_path / "20260102T030405.007Z-nightly"]
    assert merged_name(shards).endswith("Z-nightly-merged")
    assert merged_name([shards[0], tmp_path / "20260102T030405.006Z-pr"]).endswith("Z-merged")
    assert merged_name([tmp_path / "renamed"]).endswith("Z-merged")


def test_the_command_prints_the_table_and_where_the_records_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [run(tmp_path / "1", "a"), run(tmp_path / "2", "b")]
    assert main(["merge", *map(str, runs), "--into", str(tmp_path / "all")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["case", "outcome"], ["a", "passed"], ["b", "passed"], ["records:", str(tmp_path / "all/results.jsonl")]
    ]  # fmt: skip


def test_planned_cases_without_a_record_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [run(tmp_path / "1", "a", missing=["b", "c"]), run(tmp_path / "2", "d", missing=["e"])]
    assert main(["merge", *map(str, runs), "--into", str(tmp_path / "all")]) == 0
    assert capsys.readouterr().out.endswith("\n3 of 5 cases have no record: b, c, e\n")
    for markdown in ([], ["--markdown"]):
        assert main(["report", str(tmp_path / "all"), *markdown]) == 0
        assert capsys.readouterr().out.endswith("\n3 of 5 cases have no record: b, c, e\n")


def test_a_run_that_recorded_nothing_is_reported_by_its_planned_cases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RunStore(tmp_path / "run").begin(["a", "b"])
    assert main(["report", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out == "\n2 of 2 cases have no record: a, b\n"


def test_the_command_explains_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["merge", str(tmp_path)])
    assert exited.value.code == 2
    assert f"{tmp_path}: not the folder of a run" in capsys.readouterr().err
