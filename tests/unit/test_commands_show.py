"""`proctor show` and `proctor diff`: what happened in a session, and where two sessions parted, in a terminal."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from backends.registry import own_names
from harness.commands.main import main
from tests.support.project import ROOT
from tests.support.runs import night, write_run

CORPUS = ROOT / "tests" / "corpus"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with one case for each backend, each with a recorded stream, and a second case of Claude Code."""
    records = night({**{(name, "maze"): [20] for name in own_names()}, ("claude", "door"): [3]})
    folder = write_run(tmp_path_factory.mktemp("runs") / "20261126T010000.000Z-nightly", records)
    recorded = {f"{name}-qwen-maze-r1": CORPUS / name / "normal" for name in own_names()}
    recorded["claude-qwen-door-r1"] = CORPUS / "claude" / "failing_command"
    for case, stream in recorded.items():
        shutil.copy(stream / "stream.jsonl", folder / case / "stream.jsonl")
        shutil.copy(stream / "stderr", folder / case / "stderr.log")
        (folder / case / "prompt.md").write_text(f"Solve the {case.split('-')[2]}.")
    return folder


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("backend", own_names())
def test_a_session_is_shown_turn_by_turn(run: Path, capsys: pytest.CaptureFixture[str], backend: str) -> None:
    out = told(capsys, "show", str(run), f"{backend}-qwen-maze-r1")
    assert out.startswith(f"{backend}-qwen-maze-r1: passed, solve rate 1.00 (20 of 20 episodes)\n")
    parts = ("I will write the file.", "x = 1", "print(6*7)", "    42", "6 times 7 is 42")
    places = [out.index(part) for part in parts]
    assert places == sorted(places), out
    assert "\x1b" not in out


def test_a_part_of_the_name_is_enough_if_only_one_case_has_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "claude-qwen-door-r1: failed" in told(capsys, "show", str(run), "door", "--prompt")
    with pytest.raises(SystemExit, match="2"):
        main(["show", str(run), "claude"])
    assert "has several cases named 'claude'; choose one of: claude-qwen-door-r1, claude-q" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["show", str(run), "nobody"])
    assert "has no case named 'nobody'; choose one of: " in capsys.readouterr().err


def test_long_texts_are_cut_unless_all_is_asked_for(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(run, tmp_path / run.name)
    blocks = [{"type": "text", "text": "\n".join(map(str, range(300))) + "\x1b[2J\u202e"}]
    line = {"type": "assistant", "message": {"id": "one", "model": "m", "content": blocks}}
    (folder / "claude-qwen-door-r1" / "stream.jsonl").write_text(json.dumps(line) + "\n")
    short, full = (told(capsys, "show", str(folder), "door", *options) for options in ((), ("--full",)))
    assert "\n... 260 more lines (--full shows them)\n" in short
    assert "\n299\\u001b[2J\\u202e\n" in full


def test_equal_sessions_do_not_differ(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = told(capsys, "diff", str(run), str(run), "pi-qwen-maze-r1")
    assert "prompt: the same\n" in out
    assert "transcript: all 3 turns are the same\n" in out


def test_a_difference_is_shown_from_where_the_agents_parted(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = told(capsys, "diff", str(run), str(run), "claude-qwen-maze", "claude-qwen-door")
    assert "  -Solve the maze.\n  +Solve the door.\n" in out
    assert "transcript: the agents part at the first turn\n" in out
    assert any("--- Turn 1" in line and line.count("--- Turn 1") == 2 for line in out.splitlines())


def test_a_difference_is_shown_whatever_its_line_begins_with(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(run, tmp_path / run.name)
    (folder / "claude-qwen-maze-r1" / "prompt.md").write_text("Solve it.\n-- a comment\n")
    (folder / "claude-qwen-door-r1" / "prompt.md").write_text("Solve it.\n++ more\n")
    out = told(capsys, "diff", str(folder), str(folder), "claude-qwen-maze", "claude-qwen-door")
    assert "   Solve it.\n  --- a comment\n  +++ more\n" in out


def test_sessions_without_a_turn_are_not_called_the_same(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(run, tmp_path / run.name)
    (folder / "pi-qwen-maze-r1" / "stream.jsonl").unlink()
    out = told(capsys, "diff", str(folder), str(folder), "pi-qwen-maze-r1")
    assert "transcript: neither session has a turn\n" in out


@pytest.mark.parametrize("command", ["show", "diff"])
def test_a_run_without_records_is_a_plain_error(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    folder = shutil.copytree(run, tmp_path / run.name)
    (folder / "results.jsonl").write_text("")
    with pytest.raises(SystemExit, match="2"):
        main([command, *[str(folder)] * (1 + (command == "diff")), "pi"])
    assert f"{folder} has no records: no case of it has ended\n" in capsys.readouterr().err


def test_a_case_without_files_is_a_plain_error(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(run, tmp_path / run.name)
    shutil.rmtree(folder / "pi-qwen-maze-r1")
    with pytest.raises(SystemExit, match="2"):
        main(["show", str(folder), "pi-qwen"])
    assert "pi-qwen-maze-r1 left no folder in" in capsys.readouterr().err


def test_a_terminal_gets_colours_and_the_users_pager_with_its_arguments(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("PAGER", f"tee '{tmp_path}/paged text'")
    assert main(["show", str(run), "door"]) == 0
    assert (tmp_path / "paged text").read_text().startswith("\x1b[1mclaude-qwen-door-r1: failed")
    for unusable in ("  ", "'open", "no-such-pager --now"):
        capsys.readouterr()
        monkeypatch.setenv("PAGER", unusable)
        assert main(["show", str(run), "door"]) == 0
        assert "claude-qwen-door-r1: failed" in capsys.readouterr().out
