"""What `proctor export` writes, and the errors of the exports."""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import proctor
from harness.commands.main import main
from harness.exports.columns import RECORD_COLUMNS, ColumnType, FlatTable, TableColumn, Value, record_table
from harness.exports.files import write_csv
from tests.support.runs import night, write_run
from tests.unit.test_exports import BARE, FULL


class TestCsv:
    """What `proctor export --csv` writes, read by Python's own reader."""

    def test_the_command_writes_a_line_for_each_record(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = write_run(tmp_path / "run", [FULL, replace(BARE, session="bare", artifacts="bare")])
        file = tmp_path / "results.csv"
        assert main(["export", str(run), "--csv", str(file)]) == 0
        assert capsys.readouterr() == ("", f"{file}: 2 rows\n")
        with file.open(newline="") as lines:
            full, bare = csv.DictReader(lines)
        assert list(full) == [column.name for column in RECORD_COLUMNS]
        assert (full["started_at"], full["solve_rate"], full["turns"]) == ("2026-11-26T11:02:21.244Z", "0.6", "1")
        assert (full["scripted"], bare["solve_rate"], bare["attempts"]) == ("false", "", "0")
        assert [path.name for path in tmp_path.glob(".*")] == []

    def test_the_command_writes_a_line_for_each_episode(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "runs" / "run", night({("codex", "maze"): [12, 3]}))
        file = tmp_path / "episodes.csv"
        arguments = ["export", "last", "--episodes", "--csv", str(file), "--runs-dir", str(run.parent)]
        assert main(arguments) == 0
        with file.open(newline="") as lines:
            found = list(csv.DictReader(lines))
        assert len(found) == 40
        assert sum(row["outcome"] == "solved" for row in found) == 15

    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
    def test_no_text_is_a_formula(self, tmp_path: Path, text: str) -> None:
        assert self.written(tmp_path, [[text, 1, -1.5, None, None]]) == [[f"'{text}", "1", "-1.5", "", ""]]

    @settings(max_examples=50)
    @given(text=st.text(st.characters(codec="utf-8")), number=st.floats(allow_nan=False, allow_infinity=False))
    def test_every_value_is_read_back(self, tmp_path_factory: pytest.TempPathFactory, text: str, number: float) -> None:
        [[first, whole, real, yes, when]] = self.written(
            tmp_path_factory.mktemp("csv"), [[text, 2**62, number, True, datetime(2026, 1, 2, tzinfo=UTC)]]
        )
        assert first.removeprefix("'") == text.removeprefix("'")
        assert (int(whole), float(real), yes) == (2**62, number, "true")
        assert when == "2026-01-02T00:00:00.000Z"

    def test_what_is_there_and_is_no_file_is_written_to_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "target.csv").touch()
        (tmp_path / "link.csv").symlink_to("target.csv")
        write_csv(record_table([]), tmp_path / "link.csv")
        assert (tmp_path / "link.csv").is_symlink()
        assert (tmp_path / "target.csv").read_text().startswith("run,case,backend,")
        write_csv(record_table([]), Path("/dev/null"))
        assert Path("/dev/null").is_char_device()

    @staticmethod
    def written(folder: Path, values: list[list[Value]]) -> list[list[str]]:
        columns = [TableColumn(str(kind), kind, "") for kind in ColumnType]
        write_csv(FlatTable(columns, values), folder / "table.csv")
        with (folder / "table.csv").open(newline="", encoding="utf-8") as lines:
            return list(csv.reader(lines))[1:]


class TestMistakes:
    """Errors say what is wrong and what to do."""

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["none", "--csv", "x"], "none: no such run: name a run's folder"),
            (["last", "--csv", "x"], "last: there is no "),
            (["RUN"], "one of the arguments --csv --parquet --atif --inspect --otel --otlp is required"),
            (["RUN", "--csv", "x", "--parquet", "x"], "not allowed with argument"),
            (["RUN", "--csv", "no/such/folder/x"], "No such file or directory"),
            (["RUN", "--csv", "x", "--episodes"], "episodes.jsonl:1: not an episode: "),
        ],
    )
    def test_each_mistake_has_a_message(
        self, tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = write_run(tmp_path / "somewhere/run", night({("codex", "maze"): [1]}))
        (run / "codex-qwen-maze-r1/episodes.jsonl").write_text("no episode\n{}\n")
        given = [str(run) if one == "RUN" else str(tmp_path / one) if one == "x" else one for one in arguments]
        with pytest.raises(SystemExit) as exited:
            main(["export", "--runs-dir", str(tmp_path / "runs"), *given])
        assert exited.value.code == 2
        assert told in capsys.readouterr().err
        assert not (tmp_path / "x").exists()

    @pytest.mark.skipif(find_spec("pyarrow") is not None, reason="pyarrow is installed")
    def test_parquet_without_pyarrow_says_how_to_get_it(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = write_run(tmp_path / "run", night({("codex", "maze"): [1]}))
        with pytest.raises(SystemExit):
            main(["export", str(run), "--parquet", str(tmp_path / "x")])
        assert "Parquet needs pyarrow: install it, by pip install pyarrow" in capsys.readouterr().err

    def test_a_frame_without_its_package_says_how_to_get_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = write_run(tmp_path / "run", night({("codex", "maze"): [1]}))
        for name in ("pandas", "polars"):
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setattr("harness.exports.frames.find_spec", lambda _name: None)
        with pytest.raises(ImportError, match="a data frame needs pandas or polars: install one of them"):
            proctor.results(run)
        with pytest.raises(ImportError, match="frame='polars' needs polars: install it, by pip install polars"):
            proctor.episodes(run, frame="polars")

    def test_a_run_that_is_not_there_and_a_wrong_frame_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(proctor.RunError, match="last: there is no "):
            proctor.results(runs_dir=tmp_path)
        run = write_run(tmp_path / "run", night({("codex", "maze"): [1]}))
        with pytest.raises(ValueError, match="frame='spark': choose 'pandas' or 'polars'"):
            proctor.results(run, frame="spark")  # type: ignore[arg-type] # what a user may write
