"""`proctor prune` removes what its rules name, whole, and never the newest run, a tagged one or one that is written."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.commands.arguments import age, size
from harness.commands.main import main
from harness.commands.prune import shown_size
from harness.endings import Ending
from harness.results.claims import RUNNING, claim, release
from harness.results.history import consult, refresh
from harness.results.merge import merge
from harness.results.pruning import PruneRules, plan
from harness.results.references import tag_run
from harness.results.run_folder import LATEST, RESULTS, run_name
from harness.results.runs import read_run
from harness.results.store import RunStore
from harness.untrusted import removal
from harness.untrusted.rooms import make_room
from harness.verdict.reading import read_trials
from tests.support.runs import night, record, write_run

MAZE: dict[tuple[str, str], list[int | None]] = {
    ("codex", "maze"): [20],
    ("pi", "maze"): [3],
    ("claude", "maze"): [None],
}
"""One case that passed, one that failed, and one that ended with an error."""


def began(days: float) -> str:
    """Return the name of a run that began so many days ago."""
    return run_name("nightly", datetime.now(UTC) - timedelta(days=days))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a folder with runs that began 40, 20 and 1 days ago."""
    for days in (40, 20, 1):
        write_run(tmp_path / "runs" / began(days), night(MAZE))
    return tmp_path / "runs"


def names(runs: Path) -> list[str]:
    return sorted(path.name for path in runs.iterdir() if path.is_dir() and not path.is_symlink())


def days(runs: Path) -> list[int]:
    """Return how many days ago each run in the folder began."""
    started = (datetime.strptime(f"{name[:18]}Z", "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC) for name in names(runs))
    return [(datetime.now(UTC) - one).days for one in started]


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def prune(runs: Path, *arguments: str) -> int:
    return main(["prune", "--runs-dir", str(runs), *arguments])


class TestRuns:
    """Which runs go."""

    def test_nothing_is_removed_without_delete(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = everything(runs)
        assert prune(runs, "--older-than", "30d") == 0
        head, row, total = capsys.readouterr().out.splitlines()
        assert head.split() == ["run", "began", "size", "what", "goes"]
        assert row.startswith(f"{names(runs)[0]}  40 days ago  ")
        assert row.endswith(" kB  the run")
        assert total.startswith("In all: ")
        assert total.endswith(". Nothing was removed. Add --delete to remove it.")
        assert everything(runs) == before

    @pytest.mark.parametrize(
        ("rules", "left"),
        [
            (["--older-than", "30d"], [20, 1]),
            (["--older-than", "10d"], [1]),
            (["--older-than", "8w"], [40, 20, 1]),
            (["--keep", "2"], [20, 1]),
            (["--keep", "1"], [1]),
            (["--older-than", "10d", "--keep", "2"], [20, 1]),
            (["--larger-than", "0B"], [1]),
            (["--larger-than", "1GB"], [40, 20, 1]),
            (["--larger-than", "0B", "--older-than", "30d"], [20, 1]),
        ],
    )
    def test_a_run_goes_if_it_matches_every_rule(self, runs: Path, rules: list[str], left: list[int]) -> None:
        assert prune(runs, *rules, "--delete") == 0
        assert days(runs) == left

    def test_the_size_is_that_of_the_files(self, runs: Path) -> None:
        (runs / names(runs)[1] / "pi-qwen-maze-r1" / "stream.jsonl").write_bytes(bytes(2_000_000))
        assert prune(runs, "--larger-than", "1.5MB", "--delete") == 0
        assert days(runs) == [40, 1]

    def test_a_tagged_run_stays_and_the_tag_is_named(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        oldest = names(runs)[0]
        tag_run(runs / oldest, "v1", runs)
        assert prune(runs, "--older-than", "10d", "--delete") == 0
        assert f"stays: {oldest}: tagged v1\n" in capsys.readouterr().out
        assert (runs / "tags/v1" / RESULTS).is_file()
        assert names(runs)[:1] == [oldest]
        assert len(names(runs)) == 3  # with the newest run and the folder of tags

    def test_the_newest_run_stays_even_if_it_is_old(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        newest = names(runs)[-1]
        assert prune(runs, "--older-than", "1h", "--delete") == 0
        assert f"stays: {newest}: the newest\n" in capsys.readouterr().out
        assert names(runs) == [newest]
        assert (runs / LATEST / RESULTS).is_file()

    def test_a_resumed_run_that_is_the_latest_stays_too(self, runs: Path) -> None:
        (runs / LATEST).unlink()
        (runs / LATEST).symlink_to(names(runs)[0])
        assert prune(runs, "--older-than", "1h", "--delete") == 0
        assert days(runs) == [40, 1]

    def test_a_run_that_a_process_writes_stays(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        oldest = runs / names(runs)[0]
        claimed = claim(oldest)
        assert prune(runs, "--older-than", "10d", "--delete") == 0
        release(oldest, claimed)
        assert f"stays: {oldest.name}: {oldest} is being written by process {os.getpid()} " in capsys.readouterr().out
        assert days(runs) == [40, 1]

    def test_a_run_that_was_killed_goes(self, runs: Path) -> None:
        oldest = runs / names(runs)[0]
        os.close(claim(oldest))  # as a kill leaves it
        assert (oldest / RUNNING).exists()
        assert prune(runs, "--older-than", "30d", "--delete") == 0
        assert days(runs) == [20, 1]

    def test_a_run_that_got_a_tag_meanwhile_stays(
        self, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        oldest = runs / names(runs)[0]
        found = plan(runs, PruneRules(older_than=timedelta(days=30)), datetime.now(UTC))
        tag_run(oldest, "late", runs)
        monkeypatch.setattr("harness.commands.prune.plan", lambda *_: found)
        assert prune(runs, "--older-than", "30d", "--delete") == 1
        told = capsys.readouterr()
        assert told.err == f"proctor prune: {oldest.name} stays: it is now tagged late\n"
        assert told.out.endswith("Removed: 0 B.\n")
        assert oldest.is_dir()

    def test_other_folders_and_links_stay(self, runs: Path, tmp_path: Path) -> None:
        write_run(tmp_path / "elsewhere" / began(50), night(MAZE))
        (runs / "mine").mkdir()
        (runs / "mine/notes.txt").write_text("mine")
        (runs / began(60)).symlink_to(next((tmp_path / "elsewhere").glob("2*")))
        (runs / began(70)).mkdir()
        before = everything(runs)
        assert prune(runs, "--older-than", "45d", "--delete") == 0
        assert everything(runs) == before

    def test_links_in_a_run_are_not_followed(self, runs: Path, tmp_path: Path) -> None:
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious/file").write_text("mine")
        (runs / names(runs)[0] / "pi-qwen-maze-r1/workspace").symlink_to(tmp_path / "precious")
        assert prune(runs, "--older-than", "30d", "--delete") == 0
        assert days(runs) == [20, 1]
        assert (tmp_path / "precious/file").read_text() == "mine"

    def test_the_history_forgets_removed_runs(self, runs: Path) -> None:
        refresh(runs)
        assert prune(runs, "--keep", "1", "--delete") == 0
        past, _notes = consult(runs, lambda history: history.runs())
        assert [one.run.name for one in past] == names(runs)


class TestInterruptions:
    """An interruption leaves nothing half removed."""

    def test_a_run_is_renamed_before_anything_in_it_goes(self, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        refresh(runs)

        def interrupted(folder: Path) -> bool:
            raise KeyboardInterrupt

        monkeypatch.setattr("harness.results.pruning.remove", interrupted)
        assert prune(runs, "--older-than", "30d", "--delete") == 130
        past, _notes = consult(runs, lambda history: history.runs())
        shown = [name for name in names(runs) if not name.startswith(".")]
        assert [one.run.name for one in past] == shown
        assert len(shown) == 2
        [aside] = runs.glob(f"{removal.DISCARDED}*")
        assert (aside / RESULTS).is_file()

    def test_the_next_call_removes_what_was_left(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        left = [runs / f"{removal.DISCARDED}1", runs / names(runs)[0] / f"{removal.DISCARDED}2"]
        for folder in left:
            (folder / "deep").mkdir(parents=True)
        assert prune(runs, "--older-than", "8w") == 0
        assert capsys.readouterr().out.count("left by an interrupted removal\n") == 2
        assert prune(runs, "--older-than", "8w", "--delete") == 0
        assert not any(folder.exists() for folder in left)
        assert days(runs) == [40, 20, 1]

    def test_what_cannot_be_removed_is_named(
        self, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("harness.results.pruning.remove", lambda _folder: False)
        assert prune(runs, "--older-than", "30d", "--delete") == 1
        assert "cannot be removed: remove it yourself, by rm -rf\n" in capsys.readouterr().err


class TestOutcomes:
    """`--outcome` removes folders of cases and keeps their records."""

    def test_only_the_folders_of_these_cases_go(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert prune(runs, "--outcome", "passed", "--older-than", "10d", "--delete") == 0
        assert capsys.readouterr().out.count("folders of passed cases: 1\n") == 2
        for run in (runs / name for name in names(runs)):
            newest = run == (runs / LATEST).resolve()
            kept = {"pi-qwen-maze-r1", "claude-qwen-maze-r1"} | ({"codex-qwen-maze-r1"} if newest else set())
            assert {path.name for path in run.iterdir() if path.is_dir()} == kept
            assert len(read_run(run)[1]) == 3
            assert not (run / RUNNING).exists()

    def test_every_reader_copes_with_the_gap(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert prune(runs, "--outcome", "passed", "--delete") == 0
        pruned = runs / names(runs)[0]
        assert {trial.solve_rate for trial in read_trials(pruned).trials} == {1.0, 0.15, None}
        other = write_run(runs / "other", [record("codex", "cup", 1, solved=20)])
        capsys.readouterr()
        assert main(["merge", str(pruned), str(other), "--into", str(runs / "all")]) == 0
        assert "without a folder: codex-qwen-maze-r1\n" in capsys.readouterr().out
        assert len(read_run(runs / "all")[1]) == 4
        assert main(["report", str(pruned)]) == 0
        assert main(["compare", str(pruned), str(runs / LATEST), "--fail-on", "nothing"]) == 0

    def test_a_case_that_resume_needs_keeps_its_folder(self, runs: Path) -> None:
        oldest = runs / names(runs)[0]
        stopped = record("codex", "cup", 1, solved=None, ending=Ending.INTERRUPTED)
        store = RunStore(oldest)
        store.take_up()
        for folder in (oldest / "codex-qwen-cup-r1", oldest / "claude-qwen-maze-r1.earlier-1", oldest / "draft"):
            folder.mkdir()
        store.append(stopped)
        draft = record("pi", "cup", 1, solved=None, artifacts="draft")
        (oldest / "draft/draft.json").write_bytes(msgspec.json.encode(draft))
        before = len(read_run(oldest)[1])
        assert prune(runs, "--outcome", "error", "--delete") == 0
        assert {path.name for path in oldest.iterdir() if path.is_dir()} == {
            "codex-qwen-maze-r1",
            "pi-qwen-maze-r1",
            "codex-qwen-cup-r1",
            "claude-qwen-maze-r1.earlier-1",
            "draft",
        }
        assert len(read_run(oldest)[1]) == before

    @pytest.mark.parametrize("name", ["..", "../1", ".", "", "/etc", ".hidden", "a/b", "no\0name"])
    def test_a_name_that_leads_elsewhere_is_not_followed(self, tmp_path: Path, name: str) -> None:
        run = write_run(tmp_path / "runs" / began(3), night(MAZE))
        write_run(tmp_path / "runs" / began(1), night(MAZE))
        for folder in (tmp_path / "1", run / ".hidden", run / "a/b"):
            folder.mkdir(parents=True)
        line = msgspec.json.encode(record("codex", "cup", 1, solved=20, artifacts=name))
        (run / RESULTS).write_bytes(line + b"\nno record\n" + line)
        before = everything(tmp_path)
        assert prune(tmp_path / "runs", "--outcome", "passed", "--delete") == 0
        assert everything(tmp_path) == before

    def test_the_last_record_of_a_case_counts(self, runs: Path) -> None:
        oldest = runs / names(runs)[0]
        with (oldest / RESULTS).open("ab") as file:
            file.write(msgspec.json.encode(record("codex", "maze", 1, solved=3)) + b"\n")
        assert prune(runs, "--outcome", "passed", "--older-than", "30d", "--delete") == 0
        assert (oldest / "codex-qwen-maze-r1").is_dir()


def test_the_rooms_of_a_killed_run_go_with_it(runs: Path) -> None:
    oldest = runs / names(runs)[0]
    (make_room(oldest) / "workspace").mkdir()
    other = make_room(runs / names(runs)[-1])
    assert prune(runs, "--older-than", "30d", "--delete") == 0
    assert not oldest.exists()
    assert list(runs.glob(".room-*")) == [other]


def test_a_merge_without_folders_keeps_all_records(runs: Path) -> None:
    assert prune(runs, "--outcome", "failed", "--older-than", "30d", "--delete") == 0
    pruned = runs / names(runs)[0]
    merge([pruned], runs / "all", {})
    assert sorted(read_run(runs / "all")[1], key=lambda one: one.case.id) == sorted(
        read_run(pruned)[1], key=lambda one: one.case.id
    )
    assert not (runs / "all/pi-qwen-maze-r1").exists()


class TestArguments:
    """Wrong arguments are explained."""

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ([], "say what may go: --older-than, --larger-than, --keep or --outcome"),
            (["--delete"], "say what may go"),
            (["--older-than", "30"], "'30' is not an age such as 12h, 30d or 8w"),
            (["--older-than", "30m"], "'30m' is not an age"),
            (["--older-than", "-3d"], "--older-than"),
            (["--larger-than", "5"], "'5' is not a size such as 500MB, 5GB or 2GiB"),
            (["--larger-than", "nanGB"], "'nanGB' is not a size"),
            (["--keep", "0"], "'0' is not a number of runs, such as 7"),
            (["--outcome", "none"], "invalid choice: 'none'"),
        ],
    )
    def test_each_mistake_has_a_message(
        self, tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as exited:
            prune(tmp_path, *arguments)
        assert exited.value.code == 2
        assert told in capsys.readouterr().err

    def test_a_folder_that_is_not_there_is_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            prune(tmp_path / "none", "--keep", "1")
        assert f"{tmp_path / 'none'}: No such file or directory" in capsys.readouterr().err

    def test_a_folder_without_runs_is_no_error(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert prune(tmp_path, "--keep", "1", "--delete") == 0
        assert capsys.readouterr().out == "Nothing matches.\n"

    @given(st.integers(0, 999_999), st.sampled_from(["h", "d", "w"]))
    def test_an_age_is_a_number_and_a_unit(self, number: int, unit: str) -> None:
        hours = {"h": 1, "d": 24, "w": 168}[unit]
        assert age(f"{number}{unit}") == timedelta(hours=number * hours)

    @given(st.text(max_size=12))
    def test_any_other_text_is_refused_in_words(self, text: str) -> None:
        for parse in (age, size):
            try:
                parse(text)
            except ArgumentTypeError as error:
                assert repr(text) in str(error)  # noqa: PT017 - most texts raise, but not all

    @given(st.integers(0, 10**15))
    def test_a_size_that_is_shown_can_be_given(self, count: int) -> None:
        assert size(shown_size(count)) == pytest.approx(count, rel=0.05, abs=0.5)


@pytest.fixture(autouse=True)
def _no_removal_goes_on() -> Iterator[None]:
    yield
    removal.wait(10)
