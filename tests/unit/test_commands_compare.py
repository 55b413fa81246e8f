"""`proctor compare`: a broken backend is found and only there, and other conditions are refused by name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from harness.commands.main import main
from harness.results.merge import merge
from harness.results.record import Record
from tests.support.project import ROOT
from tests.support.runs import night, record, write_run

BACKENDS, ROOMS = ("claude", "codex", "opencode"), ("door", "maze")
GOOD = (20, 19, 20, 18, 20, 20)
BAD = (3, 0, 5, 2, 0, 1)
WHOLE = {(backend, room): GOOD for backend in BACKENDS for room in ROOMS}
BROKEN = WHOLE | {("codex", room): BAD for room in ROOMS}
NEW, CODEX = "20261126T010000.000Z-nightly", ("codex-qwen-door", "codex-qwen-maze")

Told = tuple[int, str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with three nights without a change."""
    monkeypatch.chdir(tmp_path)
    for day in (23, 24, 25):
        write_run(Path(f"runs/202611{day}T010000.000Z-nightly"), night(WHOLE))


def tonight(records: Sequence[Record]) -> Path:
    return write_run(Path("runs") / NEW, records)


def compared(capsys: pytest.CaptureFixture[str], *options: str, base: str = "last:7", new: str = "last") -> Told:
    status = main(["compare", base, new, *options])
    return status, capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    status, out = compared(capsys, "--json", *options)
    return status, json.loads(out)


def verdicts(told: Mapping[str, Any], level: str = "case") -> dict[str, str]:
    """Return the verdicts on solve rates, by the name of the case or group."""
    found = [one for one in told["comparisons"] if one["measure"] == "solve_rate" and one["level"] == level]
    return {one["name"]: one["verdict"] for one in found}


def test_without_a_change_nothing_is_worse(capsys: pytest.CaptureFixture[str]) -> None:
    tonight(night(WHOLE))
    status, told = compared(capsys)
    assert status == 0
    assert told.startswith(f"runs/{NEW} against 3 runs, from runs/20261123T010000.000Z-nightly to runs/20261125")
    assert "regressions" not in told
    assert "worse: 0 cases, 0 groups" in told
    assert "cases by solve rate: 6 same" in told
    assert "cases by cost $: " in told


def test_a_broken_backend_is_worse_and_only_there(capsys: pytest.CaptureFixture[str]) -> None:
    tonight(night(BROKEN))
    status, told = as_json(capsys)
    assert status == 1
    assert {name for name, verdict in verdicts(told).items() if verdict == "worse"} == set(CODEX)
    assert [name for name, verdict in verdicts(told, "backend").items() if verdict == "worse"] == ["codex"]
    assert told["new"] == f"runs/{NEW}"
    assert told["folders"][CODEX[0]]["new"][0] == f"runs/{NEW}/codex-qwen-door-r1"
    assert len(told["folders"][CODEX[0]]["base"]) == 18


def test_a_regression_comes_first_with_everything_one_needs(capsys: pytest.CaptureFixture[str]) -> None:
    tonight(night(BROKEN))
    status, told = compared(capsys)
    assert status == 1
    lines = told.splitlines()
    at = lines.index("  case codex-qwen-door: solve rate 0.98 → 0.09 (programs: 18 before, 6 now)")
    assert lines.index("regressions:") < at < lines.index("worse: 2 cases, 3 groups")
    assert lines[at + 1].startswith("    exact permutation test over programs: p = ")
    assert lines[at + 2].endswith("is found with 80% chance")
    assert f"    now: runs/{NEW}/codex-qwen-door-r6" in lines
    assert "    before: runs/20261125T010000.000Z-nightly/codex-qwen-door-r6" in lines


def test_markdown_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    tonight(night(BROKEN))
    status, told = compared(capsys, "--markdown")
    assert status == 1
    assert told.startswith("**worse: 2 cases, ")
    assert "### Regressions" in told
    assert "- **case codex-qwen-door: solve rate 0.98 → 0.09 (programs: 18 before, 6 now)**" in told
    tables = [line for line in told.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in tables} == {6}


def test_fail_on_nothing_only_tells(capsys: pytest.CaptureFixture[str]) -> None:
    tonight(night(BROKEN))
    assert compared(capsys, "--fail-on", "nothing")[0] == 0


def test_a_scripted_program_names_the_episodes_that_flipped(capsys: pytest.CaptureFixture[str]) -> None:
    for path in Path("runs").iterdir():
        path.unlink() if path.is_symlink() else shutil.rmtree(path)
    write_run(
        Path("runs/20261125T010000.000Z-pr"), night({("claude", "maze"): [20], ("pi", "maze"): [20]}, scripted=True)
    )
    write_run(
        Path("runs/20261126T010000.000Z-pr"), night({("claude", "maze"): [4], ("pi", "maze"): [20]}, scripted=True)
    )
    status, told = compared(capsys, base="last")
    assert status == 1
    assert "case claude-qwen-maze: solve rate 1.00 → 0.20 (programs: 1 before, 1 now)" in told
    assert "exact paired test over episodes" in told
    assert "episodes lost: 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19; won: none" in told


def test_one_other_condition_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    updated = [
        structs.replace(one, versions=structs.replace(one.versions, cli="2.1"), max_steps=200)
        if one.case.backend == "codex"
        else one
        for one in night(BROKEN)
    ]
    tonight(updated)
    status, told = as_json(capsys)
    assert status == 0, "the other backends did not change"
    assert {name for name, verdict in verdicts(told).items() if verdict == "incomparable"} == set(CODEX)
    assert {one["reason"] for one in told["comparisons"] if one["verdict"] == "incomparable"} == {
        "different conditions: cli (2.0 → 2.1); max_steps (100 → 200)"
    }
    assert "case codex-qwen-maze" in compared(capsys)[1].partition("incomparable:")[2].partition("\n\n")[0]


def test_an_allowed_difference_is_compared_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    tonight([structs.replace(one, max_steps=200) for one in night(BROKEN)])
    status, told = compared(capsys)
    assert status == 1
    assert told.splitlines()[-2] == "nothing was compared: no case was graded in both runs under the same conditions"
    status, told = compared(capsys, "--allow-drift", "max_steps")
    assert status == 1
    assert "allowed to differ: max_steps (100 → 200)" in told
    assert "worse: 2 cases" in told
    assert "no case has this condition" not in told
    assert "note: --allow-drift limits.weather: no case has this" in compared(capsys, "--allow-drift=limits.weather")[1]


def test_only_the_nights_under_tonights_conditions_count(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("runs/20261122T010000.000Z-nightly"), night(BROKEN, max_steps=5))
    tonight(night(WHOLE))
    status, told = compared(capsys)
    assert status == 0
    assert "6 replicates of the baseline left out: other conditions" in told


def test_new_and_gone_cases_are_told_and_do_not_fail(capsys: pytest.CaptureFixture[str]) -> None:
    programs = {name: found for name, found in WHOLE.items() if name != ("codex", "door")}
    tonight(night(programs | {("pi", "maze"): GOOD}))
    status, told = as_json(capsys)
    assert status == 0
    found = verdicts(told)
    assert (found["codex-qwen-door"], found["pi-qwen-maze"]) == ("gone", "new")
    text = compared(capsys)[1]
    assert "the new run does not have this case" in text
    assert "the baseline does not have this case" in text


def test_replicates_without_a_result_are_missing_and_never_zero(capsys: pytest.CaptureFixture[str]) -> None:
    tonight(night(WHOLE | {("codex", "door"): (20, None, 20, 19, None, 20), ("pi", "door"): (None, None)}))
    status, told = as_json(capsys)
    assert status == 0
    door = next(one for one in told["comparisons"] if one["name"] == CODEX[0] and one["measure"] == "solve_rate")
    assert (door["new"]["programs"], door["new"]["missing"]) == (4, 2)
    assert door["differing"] == []
    assert "with the missing replicates, the difference is from " in compared(capsys)[1]


def test_a_run_without_any_grade_is_never_green(capsys: pytest.CaptureFixture[str]) -> None:
    tonight(night(dict.fromkeys(WHOLE, (None, None))))
    status, told = compared(capsys)
    assert status == 1
    assert "2 of 2 replicates of the new run are missing (model_error 2)" in told
    assert "\nnothing was compared: no case was graded in both runs under the same conditions\n" in told


def test_a_rerun_does_not_hide_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    reruns = []
    for one in night({("codex", "door"): BAD}):
        again = record("codex", "door", one.case.replicate, solved=20)
        reruns.append(structs.replace(again, try_number=2, artifacts=f"{again.artifacts}.2"))
    tonight([*night(BROKEN), *reruns])
    status, told = as_json(capsys)
    assert status == 1
    assert verdicts(told)[CODEX[0]] == "worse"


def test_a_run_that_was_killed_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    whole = tonight(night(WHOLE))
    lines = (whole / "results.jsonl").read_bytes().splitlines(keepends=True)
    (whole / "results.jsonl").write_bytes(b"".join(lines[:-1]))
    assert f"note: runs/{NEW} lacks records of planned cases: opencode-qwen-maze-r6" in compared(capsys)[1]


def test_a_tag_is_a_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tag", "last", "good"]) == 0
    tonight(night(BROKEN))
    assert "against runs/20261125T010000.000Z-nightly" in compared(capsys, base="tag:good")[1]


def test_a_merged_run_and_its_shard_are_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    shard = tonight(night({("claude", "maze"): GOOD}, started_at="2026-11-26T01:00:00.000+00:00"))
    merge([shard], Path("runs/merged"), {})
    with pytest.raises(SystemExit) as exited:
        main(["compare", str(shard), "runs/merged"])
    assert exited.value.code == 2
    assert "hold the same session of claude-qwen-maze-r1: it would count twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["last:7", "nowhere"], "nowhere: no such run"),
        (["tag:good", "last"], "tag:good: no such tag in runs"),
        (["last", "last:2"], "last:2: name one run, and these are 2"),
        (["runs/latest", "last"], "are the same run, 20261125T010000.000Z-nightly"),
        (["last", "last", "--allow-drift", "weather"], "weather: no such condition; choose from cli, cli_path, "),
        (["last", "last", "--margin", "10"], "'10' is not a number between 0 and 1"),
        (["last", "last", "--false-discovery", "nan"], "'nan' is not a number between 0 and 1"),
        (["last", "last", "--json", "--markdown"], "not allowed with argument"),
    ],
)
def test_bad_input_is_explained(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["compare", *arguments])
    assert exited.value.code == 2
    assert told in capsys.readouterr().err


def test_other_commands_load_no_statistics() -> None:
    program = (
        "import sys\n"
        "from harness.commands.main import main\n"
        "main(['tag', 'last', 'good'])\n"
        "assert not {'numpy', 'scipy'} & set(sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(ROOT)}, check=True, capture_output=True
    )
    assert ran.stdout.startswith(b"tag:good is now ")
