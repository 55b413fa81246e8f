"""Records and episodes as tables: stable columns, true values, and nothing that a run's files hold breaks them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from msgspec import inspect
from msgspec.structs import replace

from backends.events import Usage
from harness.case import KnownFailure, Limits
from harness.exports.columns import (
    EPISODE_COLUMNS,
    RECORD_COLUMNS,
    ColumnType,
    FlatTable,
    TableColumn,
    Value,
    episode_table,
    record_table,
)
from harness.exports.reading import read_table
from harness.results.record import (
    CaseUsage,
    Difference,
    Digests,
    EarlierSession,
    Record,
    Timing,
    UsageTotals,
    Versions,
)
from harness.results.references import tag_run
from harness.results.run_folder import RESULTS
from tests.properties.test_records import instances
from tests.support.markdown import code, page, table
from tests.support.project import ROOT
from tests.support.runs import night, record, score, write_run

PYTHON_TYPES = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.NUMBER: float,
    ColumnType.BOOLEAN: bool,
    ColumnType.TIME: datetime,
}
TOTALS = UsageTotals(
    turns=1,
    requests=2,
    tool_calls=3,
    input_tokens=4,
    output_tokens=5,
    cache_read_tokens=6,
    cache_write_tokens=7,
    reasoning_tokens=8,
    cost_usd=0.25,
)
FULL = record(
    "codex",
    "maze",
    2,
    solved=12,
    started_at="2026-11-26T11:02:21.244Z",
    explanation="12 of 20 solved",
    known_failure=KnownFailure(case="codex-*", reason="hard", until=datetime(2026, 12, 1, tzinfo=UTC).date()),
    score=replace(
        score(12),
        mean_steps=7.5,
        mean_reward=-0.5,
        design_rate=0.7,
        held_out_rate=0.5,
        largest_count_all_solved=3,
        largest_count_any_solved=5,
    ),
    usage=CaseUsage(reported=replace(TOTALS, turns=9), metered=TOTALS),
    usage_by_model={"m": Usage(1)},
    differences=[Difference(attempt=1, field="turns", reported=9, metered=1)],
    limits=Limits(tokens=10_000, cost_usd=2.0),
    timing=Timing(**dict.fromkeys(Timing.__struct_fields__, 1.5)),
    versions=Versions(**{name: f"its {name}" for name in Versions.__struct_fields__}),
    digests=Digests(prompt="p", instructions="i", tools="t"),
    overrides=["limits.turns=10", "suite.replicates=2"],
    conditions_digest="c",
    seed_key="public",
    submission={"digest": "abc", "files": ["approach.py"]},
    warnings=["one", "two"],
)
BARE = record("pi", "maze", 1, solved=None, usage=CaseUsage(), timing=Timing(), artifacts=None, session="")
"""The record of a session that measured nothing."""


def rows(found: FlatTable) -> list[dict[str, Value]]:
    names = [column.name for column in found.columns]
    return [dict(zip(names, row, strict=True)) for row in found.rows]


def row_of(one: Record) -> dict[str, Value]:
    [found] = rows(record_table([(Path("/runs/tonight"), [one])]))
    return found


def fits(value: Value, kind: ColumnType) -> bool:
    return value is None or type(value) is PYTHON_TYPES[kind]


class TestColumns:
    """What the tables hold."""

    @pytest.mark.parametrize(
        ("heading", "columns"), [("`proctor.results`", RECORD_COLUMNS), ("`proctor.episodes`", EPISODE_COLUMNS)]
    )
    def test_every_column_is_documented_in_its_order(self, heading: str, columns: list[TableColumn]) -> None:
        written = [(code(row["column"]), row["type"]) for row in table(page("docs/exports.md"), heading)]
        assert written == [(column.name, str(column.type)) for column in columns]
        assert len({name for name, _type in written}) == len(written)

    def test_a_full_record_has_a_value_in_every_column(self) -> None:
        found = row_of(FULL)
        assert [name for name, value in found.items() if value is None] == []
        assert {name: found[name] for name in ("run", "case", "backend", "replicate", "try_number", "outcome")} == {
            "run": "tonight",
            "case": "codex-qwen-maze-r2",
            "backend": "codex",
            "replicate": 2,
            "try_number": 1,
            "outcome": "failed",
        }
        assert found["started_at"] == datetime(2026, 11, 26, 11, 2, 21, 244000, UTC)
        assert (found["solve_rate"], found["solved"], found["episodes"]) == (0.6, 12, 20)
        assert found["solve_rate_low"] == pytest.approx(0.3866, abs=1e-4)
        assert found["solve_rate_high"] == pytest.approx(0.7812, abs=1e-4)
        assert (found["turns"], found["tokens"], found["cost_usd"], found["seconds"]) == (1, 22, 0.25, 1.5)
        assert (found["reported_turns"], found["metered_turns"], found["metered_requests"]) == (9, 1, 2)
        assert (found["differences"], found["unexplained_differences"], found["warnings"]) == (1, 1, 2)
        assert (found["harness_version"], found["cli_version"]) == ("its harness", "its cli")
        assert (found["limit_turns"], found["limit_cost_usd"]) == (50, 2.0)
        assert (found["submission_digest"], found["overrides"]) == ("abc", "limits.turns=10 suite.replicates=2")
        assert found["folder"] == "/runs/tonight/codex-qwen-maze-r2"

    def test_what_was_not_measured_is_none_and_never_0(self) -> None:
        found = row_of(BARE)
        names = ["session", "solve_rate", "solve_rate_low", "solved", "turns", "tokens", "cost_usd", "seconds"]
        names += ["reported_turns", "metered_cost_usd", "total_s", "evaluation_s", "submission_digest", "folder"]
        assert {name: found[name] for name in names} == dict.fromkeys(names)
        assert (found["outcome"], found["ending"], found["attempts"]) == ("error", "model_error", 0)

    @settings(max_examples=15)  # drawing a record takes long
    @given(instances(inspect.type_info(Record)))
    def test_every_value_has_the_type_of_its_column_or_is_none(self, one: Record) -> None:
        grade = one.score and replace(one.score, solved=abs(one.score.solved), episodes=abs(one.score.solved) + 1)
        [row] = record_table([(Path("/runs/tonight"), [replace(one, score=grade)])]).rows
        assert [
            column.name for column, value in zip(RECORD_COLUMNS, row, strict=True) if not fits(value, column.type)
        ] == []

    def test_a_count_that_no_table_can_hold_is_none(self) -> None:
        huge = CaseUsage(reported=UsageTotals(turns=2**63), metered=UsageTotals(turns=2**63 - 1))
        found = row_of(replace(FULL, usage=huge))
        assert (found["reported_turns"], found["metered_turns"]) == (None, 2**63 - 1)

    @pytest.mark.parametrize(
        "text", ["yesterday", "2026-11-26", "2026-11-26T11:02:21", "0001-01-01T00:00:00+14:00", ""]
    )
    def test_a_time_that_is_none_is_not_known(self, text: str) -> None:
        assert row_of(replace(FULL, started_at=text))["started_at"] is None

    def test_earlier_sessions_are_counted(self) -> None:
        earlier = EarlierSession(
            started_at=None,
            ending=FULL.ending,
            cause=FULL.cause,
            explanation="",
            usage=CaseUsage(),
            timing=Timing(),
            attempts=[],
            artifacts="x.earlier-1",
        )
        assert row_of(replace(FULL, earlier=[earlier, earlier]))["earlier_sessions"] == 2


class TestRuns:
    """How runs become tables."""

    def test_an_episode_has_a_row_with_the_names_of_its_case(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "runs" / "one", night({("codex", "maze"): [12, None]}))
        found = rows(read_table(run, tmp_path, of_episodes=True))
        assert len(found) == 20
        assert [one["episode"] for one in found] == list(range(20))
        assert sum(one["outcome"] == "solved" for one in found) == 12
        assert found[0] == {
            "run": "one",
            "case": "codex-qwen-maze-r1",
            "backend": "codex",
            "model": "qwen",
            "provider": "local",
            "environment": "maze",
            "replicate": 1,
            "session": "codex-qwen-maze-r1",
            "try_number": 1,
            "episode": 0,
            "outcome": "solved",
            "steps": 0,
            "reward": 0.0,
            "seconds": 0.0,
            "error": None,
            "count": None,
        }

    def test_a_run_is_named_as_for_the_other_commands(self, tmp_path: Path) -> None:
        runs = tmp_path / "runs"
        for day in (24, 25, 26):
            write_run(runs / f"202611{day}T010000.000Z-nightly", night({("codex", "maze"): [12]}))
        tag_run(runs / "20261124T010000.000Z-nightly", "old", runs)

        def days(reference: str | Path) -> list[str]:
            return [str(one["run"])[6:8] for one in rows(read_table(reference, runs))]

        assert days("last") == days(runs / "latest") == days(runs / "latest" / RESULTS) == ["26"]
        assert days("last:2") == ["25", "26"]
        assert days("tag:old") == ["24"]
        (runs / "copy.jsonl").write_bytes((runs / "20261124T010000.000Z-nightly" / RESULTS).read_bytes())
        assert len(rows(read_table(runs / "copy.jsonl", runs))) == 1

    def test_a_killed_run_gives_what_it_has(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", night({("codex", "maze"): [12]}))
        with (run / RESULTS).open("ab") as file:
            file.write(b'{"schema":1,"case":{"id"')
        with (run / "codex-qwen-maze-r1/episodes.jsonl").open("ab") as file:
            file.write(b'{"index":20,"outc')
        (run / "pi").mkdir()
        draft = record("pi", "maze", 1, solved=None, artifacts="pi")
        (run / "pi/draft.json").write_bytes(msgspec.json.encode(draft))
        assert [one["case"] for one in rows(read_table(run, tmp_path))] == ["codex-qwen-maze-r1", "pi-qwen-maze-r1"]
        assert len(read_table(run, tmp_path, of_episodes=True).rows) == 20

    def test_a_case_without_its_folder_keeps_its_record(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", night({("codex", "maze"): [12]}))
        (run / "codex-qwen-maze-r1").rename(tmp_path / "elsewhere")
        assert len(read_table(run, tmp_path).rows) == 1
        assert read_table(run, tmp_path, of_episodes=True).rows == []

    def test_an_older_record_and_an_older_episode_are_read(self, tmp_path: Path) -> None:
        old: dict[str, object] = {}
        old["case"] = {"id": "a", "backend": "b", "model": "m", "provider": "p", "environment": "e", "replicate": 1}
        old |= {"scripted": False, "ending": "finished", "cause": "agent", "outcome": "passed", "explanation": ""}
        old |= {"limits": {}, "versions": {"harness": "0"}, "artifacts": "a"}
        (tmp_path / "a").mkdir()
        (tmp_path / RESULTS).write_bytes(msgspec.json.encode(old) + b"\n")
        (tmp_path / "a/episodes.jsonl").write_text('{"index":0,"outcome":"solved","more":1}\n')
        [found] = rows(read_table(tmp_path, tmp_path))
        assert (found["case"], found["session"], found["started_at"]) == ("a", None, None)
        [episode] = rows(read_table(tmp_path, tmp_path, of_episodes=True))
        assert (episode["outcome"], episode["steps"], episode["reward"]) == ("solved", None, None)

    def test_what_steers_a_terminal_is_made_visible(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", night({("codex", "maze"): [1]}))
        line = {"index": 0, "outcome": "crashed", "error": "\x1b[2J\u202egone"}
        (run / "codex-qwen-maze-r1/episodes.jsonl").write_bytes(msgspec.json.encode(line))
        [episode] = rows(read_table(run, tmp_path, of_episodes=True))
        assert episode["error"] == "\\u001b[2J\\u202egone"

    def test_reading_writes_nothing(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", night({("codex", "maze"): [1]}))
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        read_table(run, tmp_path)
        read_table(run, tmp_path, of_episodes=True)
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before

    @pytest.mark.parametrize("name", ["../other", "..", "link", "", "."])
    def test_a_folder_outside_of_the_run_has_no_episodes(self, tmp_path: Path, name: str) -> None:
        run = tmp_path / "run"
        for folder in (tmp_path, run, tmp_path / "other"):
            folder.mkdir(exist_ok=True)
            (folder / "episodes.jsonl").write_text('{"index":0,"outcome":"solved"}')
        (run / "link").symlink_to("../other")
        one = record("codex", "maze", 1, solved=1, artifacts=name)
        assert episode_table([(run, [one])]).rows == []


def test_importing_it_loads_nothing_heavy() -> None:
    program = (
        "import sys, proctor\n"
        "heavy = {'numpy', 'scipy', 'hydra', 'starlette', 'pandas', 'polars', 'pyarrow', 'pytest'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
