"""`proctor history`: rows from oldest to newest, names that say what they mean, and output for people and programs."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.commands.main import main
from harness.report import trends
from harness.results.claims import claim, release
from harness.results.history_index import INDEX
from harness.results.run_folder import CASES, RESULTS
from tests.support.runs import night, write_run

NIGHTS = {23: 20, 24: 18, 25: 3}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with three nights in which codex gets worse, and a quick run."""
    monkeypatch.chdir(tmp_path)
    for day, solved in NIGHTS.items():
        programs: dict[tuple[str, str], list[int | None]] = {
            ("codex", "maze"): [solved, None],
            ("claude", "maze"): [20, 20],
        }
        write_run(Path(f"runs/202611{day}T010000.000Z-nightly"), night(programs))
    write_run(Path("runs/20261124T120000.000Z-maze"), night({("codex", "door"): [20]}))


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["history", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit, match="2"):
        main(["history", *arguments])
    return capsys.readouterr().err.partition("error: ")[2].strip()


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(told(capsys, "--json", *arguments))
    return found


def test_a_case_has_a_row_for_each_run_oldest_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "codex-qwen-maze").splitlines() == [
        "case codex-qwen-maze: 3 runs of suite nightly, from 2026-11-23 to 2026-11-25",
        "",
        "run                           cases  sessions  missing  solve rate  cost $  turns  seconds  flake rate",
        "20261123T010000.000Z-nightly      1         2        1        1.00  0.0100    9.0     30.0        0.50",
        "20261124T010000.000Z-nightly      1         2        1        0.90  0.0100    9.0     30.0        0.50",
        "20261125T010000.000Z-nightly      1         2        1        0.15  0.0100    9.0     30.0        0.50",
    ]


def test_what_is_not_known_is_a_dash_a_null_and_an_empty_field(capsys: pytest.CaptureFixture[str]) -> None:
    name = "codex-qwen-maze-r2"  # infrastructure ended it every night
    assert told(capsys, name, "--last", "1").splitlines()[-1].split()[-5:] == ["-", "-", "-", "-", "1.00"]
    [series] = as_json(capsys, name)["series"]
    assert {point["solve_rate"] for point in series["points"]} == {None}
    rows = list(csv.DictReader(io.StringIO(told(capsys, name, "--csv"))))
    assert [(row["run"], row["solve_rate"], row["missing"]) for row in rows] == [
        (f"202611{day}T010000.000Z-nightly", "", "1") for day in NIGHTS
    ]


def test_without_a_name_each_suite_has_a_table_of_its_cases(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys).splitlines()
    assert lines[0] == "suite maze: 1 run, on 2026-11-24"
    assert lines[6] == "suite nightly: 3 runs, from 2026-11-23 to 2026-11-25"
    assert [line.split()[:4] for line in lines[9:]] == [
        ["all", "3", "0.57", "0.84"],
        ["claude-qwen-maze", "3", "1.00", "1.00"],
        ["codex-qwen-maze", "3", "0.15", "0.68"],
    ]
    assert [(one["kind"], one["name"]) for one in as_json(capsys, "--suite", "nightly")["series"]] == [
        ("suite", "nightly"),
        ("case", "claude-qwen-maze"),
        ("case", "codex-qwen-maze"),
    ]


def test_runs_of_several_suites_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "codex")
    assert found["notes"] == ["the runs are of several suites (maze, nightly): choose one with --suite"]
    assert [point["suite"] for point in found["series"][0]["points"]] == ["nightly", "nightly", "maze", "nightly"]
    assert as_json(capsys, "codex", "--suite", "maze")["notes"] == []
    assert as_json(capsys, "codex", "--last", "1")["notes"] == []


def test_a_name_that_is_not_known_or_not_clear_is_refused_with_what_to_write(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refused(capsys, "maze") == "maze can mean environment:maze or suite:maze: write which one"
    assert told(capsys, "environment:maze").startswith("environment maze: 3 runs of suite nightly")
    assert told(capsys, "suite:maze").startswith("suite maze: 1 run, on")
    assert refused(capsys, "codexx") == "codexx: no record has this name; did you mean codex (backend)?"
    assert refused(capsys, "backend:maze") == "backend:maze: no record has this backend; known are claude, codex"
    assert refused(capsys, "qwen", "--suite", "nihgtly") == (
        "--suite nihgtly: no record has this suite; did you mean nightly (suite)?"
    )
    assert refused(capsys, "claude", "--suite", "maze").startswith("backend claude is in no run of suite maze")
    assert refused(capsys, "--last", "0").endswith("'0' is not a number of runs, such as 7")
    for folder in ("nowhere", "runs/latest"):
        assert refused(capsys, "codex", "--runs-dir", folder).startswith(f"{folder} holds no run with records")
    assert not Path("nowhere").exists()


def test_tags_stand_beside_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    main(["tag", "runs/20261124T010000.000Z-nightly", "release"])
    main(["tag", "runs/20261124T010000.000Z-nightly", "good"])
    capsys.readouterr()
    assert "20261124T010000.000Z-nightly (tag:good, tag:release)" in told(capsys, "claude")
    assert "good release" in told(capsys, "claude", "--csv")


def test_what_is_left_out_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    run = Path("runs/20261123T010000.000Z-nightly")
    with (run / RESULTS).open("ab") as file:
        file.write(b"{}\n")
    for day in (26, 27):
        write_run(
            Path(f"runs/202611{day}T010000.000Z-nightly"),
            night({("codex", "maze"): [20]}, started_at="2026-11-26T01:00:00.000+00:00"),
        )
    assert as_json(capsys, "codex-qwen-maze")["notes"] == [
        "left out, because another run holds the same sessions: 20261126T010000.000Z-nightly",
        f"{run.name}: left out what is not a record in results.jsonl (lines: 1)",
    ]
    main(["history", "codex-qwen-maze"])
    assert capsys.readouterr().err.count("note: ") == 2


def test_runs_that_lack_records_are_named_if_they_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    stopped, running = (Path(f"runs/202611{day}T010000.000Z-nightly") for day in (26, 27))
    for run in (stopped, running):
        write_run(run, night({("codex", "maze"): [20]}))
        (run / CASES).write_text('["codex-qwen-maze-r1", "codex-qwen-maze-r2", "claude-qwen-maze-r1"]')
    descriptor = claim(running)
    assert as_json(capsys, "codex-qwen-maze")["notes"] == [
        f"{stopped.name} was stopped: planned cases without a record: 2",
        f"{running.name} is still running: planned cases without a record: 2",
    ]
    assert len(as_json(capsys, "codex-qwen-maze", "--last", "1")["notes"]) == 1
    release(running, descriptor)


def test_rebuild_makes_the_index_again_and_answers(capsys: pytest.CaptureFixture[str]) -> None:
    before = told(capsys, "codex-qwen-maze")
    Path("runs", INDEX).write_bytes(b"\xff" * 9999)
    assert told(capsys, "codex-qwen-maze", "--rebuild") == before
    Path("runs", INDEX).unlink()
    Path("runs", INDEX).mkdir()
    assert "unable to open database file" in refused(capsys, "--rebuild")
    assert told(capsys, "codex-qwen-maze") == before


def test_merged_shards_count_once(capsys: pytest.CaptureFixture[str]) -> None:
    for number, room in enumerate(("door", "maze")):
        started = f"2026-11-26T01:00:0{number}.000+00:00"
        write_run(Path(f"runs/20261126T01000{number}.000Z-weekly"), night({("codex", room): [20]}, started_at=started))
    shards = sorted(map(str, Path("runs").glob("*-weekly")))
    assert main(["merge", *shards]) == 0
    capsys.readouterr()
    [series] = as_json(capsys, "suite:weekly")["series"]
    assert [(point["run"][-14:], point["cases"]) for point in series["points"]] == [("-weekly-merged", 2)]
    assert main(["merge", shards[0], "--into", "elsewhere/merged"]) == 0
    assert [path.name for path in Path("elsewhere").iterdir()] == ["merged"]


@pytest.mark.parametrize(("encoding", "drawn"), [("utf-8", True), ("ascii", False), ("latin-1", False)])
def test_a_terminal_shows_sparklines_if_it_can(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, encoding: str, drawn: bool
) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdout", screen)
    main(["history", "codex-qwen-maze"])
    main(["history"])
    screen.seek(0)
    text = screen.read()
    assert ("solve rate  █▇▂  min 0.15, max 1.00" in text) == drawn
    assert ("0.50  █▇▂" in text) == drawn
    assert text.isascii() != drawn


def test_a_sparkline_starts_at_zero_and_has_a_gap_where_nothing_is_known() -> None:
    assert trends.sparkline([0.0, None, 0.5, 1.0, 7.0], 1.0) == "▁ ▅██"
    assert trends.sparkline([0.0, 0.0], 0.0) == "▁▁"
