"""What Proctor exports, read by the tools that it is for. `make peers` installs them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import proctor
from harness.commands.main import main
from harness.exports.columns import EPISODE_COLUMNS, RECORD_COLUMNS
from tests.support.markdown import code_blocks, page
from tests.support.project import ROOT, Project
from tests.support.runs import night, write_run

pandas: Any = pytest.importorskip("pandas", reason="make peers installs pandas")
polars: Any = pytest.importorskip("polars", reason="make peers installs polars")
parquet: Any = pytest.importorskip("pyarrow.parquet", reason="make peers installs pyarrow")

PROGRAMS: dict[tuple[str, str], list[int | None]] = {("codex", "maze"): [12, None], ("pi", "maze"): [20, 3]}
STARTED = "2026-11-26T11:02:21.244Z"
NAMES = [column.name for column in RECORD_COLUMNS]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs" / "tonight", night(PROGRAMS, started_at=STARTED))


class TestFrames:
    """`proctor.results` and `proctor.episodes`."""

    def test_pandas_is_taken_by_itself_and_keeps_the_types(self, run: Path) -> None:
        frame = proctor.results(run)
        assert list(frame.columns) == NAMES
        assert {str(frame[name].dtype) for name in ("turns", "solved", "metered_requests")} == {"Int64"}
        assert (str(frame["solve_rate"].dtype), str(frame["scripted"].dtype)) == ("Float64", "boolean")
        assert frame["started_at"][0] == pandas.Timestamp(STARTED)
        assert frame["solve_rate"].tolist()[:1] == [0.6]
        assert frame["solve_rate"].isna().tolist() == [False, True, False, False]
        assert frame.groupby("backend")["solve_rate"].mean().to_dict() == pytest.approx({"codex": 0.6, "pi": 0.575})

    def test_polars_has_the_same_values(self, run: Path) -> None:
        ours, theirs = proctor.results(run, frame="polars"), proctor.results(run, frame="pandas")
        assert ours.columns == NAMES
        assert ours["turns"].dtype == polars.Int64
        assert ours["started_at"].to_list()[0] == datetime(2026, 11, 26, 11, 2, 21, 244000, UTC)
        assert ours["solve_rate"].to_list() == [0.6, None, 1.0, 0.15]
        for name in NAMES:
            assert [one for one in ours[name].to_list() if one is not None] == theirs[name].dropna().tolist()

    @pytest.mark.parametrize("frame", ["pandas", "polars"])
    def test_a_run_without_a_grade_has_the_same_types(self, run: Path, tmp_path: Path, frame: Any) -> None:
        empty = write_run(tmp_path / "runs" / "broken", night({("codex", "maze"): [None]}))
        one, other = proctor.results(run, frame=frame), proctor.results(empty, frame=frame)
        assert list(one.dtypes) == list(other.dtypes)
        played = proctor.episodes(empty, frame=frame)
        assert (len(played), list(played.columns)) == (0, [column.name for column in EPISODE_COLUMNS])
        assert list(played.dtypes) == list(proctor.episodes(run, frame=frame).dtypes)

    def test_the_two_tables_can_be_joined(self, run: Path) -> None:
        same = ["run", "session", "try_number"]
        joined = proctor.episodes(run).merge(proctor.results(run)[[*same, "metered_turns"]], on=same)
        assert len(joined) == 60
        assert joined["metered_turns"].notna().all()


class TestFiles:
    """`proctor export`."""

    @pytest.mark.parametrize("further", [[], ["--episodes"]])
    def test_parquet_is_read_by_all_three(self, run: Path, tmp_path: Path, further: list[str]) -> None:
        file = tmp_path / "table.parquet"
        assert main(["export", str(run), *further, "--parquet", str(file)]) == 0
        frame = (proctor.episodes if further else proctor.results)(run, frame="polars")
        assert polars.read_parquet(file).equals(frame)
        assert parquet.read_table(file).schema.names == frame.columns == list(pandas.read_parquet(file).columns)
        assert parquet.read_table(file).to_pylist() == frame.to_dicts()

    def test_csv_is_read_by_pandas_and_polars(self, run: Path, tmp_path: Path) -> None:
        file = tmp_path / "table.csv"
        assert main(["export", str(run), "--csv", str(file)]) == 0
        frame = proctor.results(run, frame="polars")
        read = polars.read_csv(file, schema=frame.schema)
        assert read.equals(frame)
        assert pandas.read_csv(file)["solve_rate"].isna().tolist() == [False, True, False, False]


def test_the_example_of_a_tracker_logs_to_mlflow(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="make peers installs mlflow-skinny")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri((tmp_path / "tracked").as_uri())
    [program] = [block.text for block in code_blocks(page("docs/exports.md")) if "import mlflow" in block.text]
    example: dict[str, Any] = {"__name__": "example"}
    exec(program, example)  # noqa: S102 - a program of our own page
    example["log"](run)
    [experiment] = [one for one in mlflow.search_experiments() if one.name == "proctor"]
    logged = mlflow.MlflowClient().search_runs([experiment.experiment_id])
    assert {one.info.run_name: one.data.metrics.get("solve_rate") for one in logged} == {
        "codex-qwen-maze-r1": 0.6,
        "codex-qwen-maze-r2": None,
        "pi-qwen-maze-r1": 1.0,
        "pi-qwen-maze-r2": 0.15,
    }
    assert {one.data.tags["ending"] for one in logged} == {"finished", "model_error"}
    assert {one.data.params["environment"] for one in logged} == {"maze"}


def test_junit_xml_is_read_by_a_parser_with_its_properties(tmp_path: Path) -> None:
    junitparser: Any = pytest.importorskip("junitparser", reason="make peers installs junitparser")
    project = Project(tmp_path)
    project.write("good/approach.py", (ROOT / "tests/security/good_policy.py").read_text())
    done = project.pytest(
        "--submission", "good", "--environment", "small_maze", "--set=evaluation.episodes=2", "--junitxml=junit.xml"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [suite] = junitparser.JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    [case] = suite
    assert case.is_passed
    read = {one.name: one.value for one in case.child(junitparser.Properties)}
    assert read["case"] == "submission-small_maze"
    assert (read["backend"], read["environment"], read["solve_rate"]) == ("submission", "small_maze", "1.0")
    assert (read["ending"], read["cause"]) == ("finished", "agent")


def test_the_examples_with_a_data_frame_run(run: Path, tmp_path: Path) -> None:
    blocks = [block.text for block in code_blocks(page("docs/exports.md")) if "mlflow" not in block.text]
    program = "\n".join([*blocks, "print(len(played))"])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    _head, codex, pi, *_more, count = done.stdout.splitlines()
    assert (codex.split(), pi.split(), count) == (["codex", "0.6"], ["pi", "0.575"], "60")
