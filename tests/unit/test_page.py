"""`proctor report --html`: one file with everything that is known of runs, whatever agents have written."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.registry import own_names
from harness.commands.main import main
from harness.page.coloured import coloured
from harness.page.diffs import diff_lines
from harness.page.packing import Blocks
from tests.support.hostile_texts import HOSTILE, write_hostile_claude_stream
from tests.support.pages import Page, unpacked_block
from tests.support.project import ROOT
from tests.support.runs import night, write_run

CORPUS = ROOT / "tests" / "corpus"


def paged(folder: Path, *runs: Path) -> Page:
    assert main(["report", *map(str, runs), "--html", str(folder / "page.html")]) == 0
    return Page(folder / "page.html")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run with one case for each backend, each with a recorded stream."""
    records = night({(name, "maze"): [20] for name in own_names()}, explanation="; ".join(HOSTILE[:6]))
    folder = write_run(tmp_path / "20261126T010000.000Z-nightly", records)
    for name in own_names():
        recorded, case = CORPUS / name / "normal", folder / f"{name}-qwen-maze-r1"
        shutil.copy(recorded / "stream.jsonl", case / "stream.jsonl")
        shutil.copy(recorded / "stderr", case / "stderr.log")
        (case / "prompt.md").write_text("Solve the maze.")
        (case / "submission").mkdir()
        (case / "submission" / "approach.py").write_text("x = 1\n")
    return folder


def test_a_page_has_the_rows_and_the_details_of_every_case(run: Path, tmp_path: Path) -> None:
    page = paged(tmp_path, run)
    assert [row["id"] for row in page.rows] == [f"{name}-qwen-maze-r1" for name in own_names()]
    assert {(row["outcome"], row["solve_rate"], row["episodes"], row["cost_usd"]) for row in page.rows} == {
        ("passed", 1.0, 20, 0.01)
    }
    for name in own_names():
        details = page.details(f"{name}-qwen-maze-r1")
        assert details["record"]["case"]["backend"] == name
        assert len(details["episodes"]) == 20
        assert details["interval"] == [pytest.approx(0.8389, abs=1e-4), 1.0]
        [transcript] = details["transcripts"]
        assert transcript["prompt"] == {"text": "Solve the maze.", "left_out": 0}
        calls = [part for entry in transcript["thread"]["entries"] for part in entry.get("parts", []) if "call" in part]
        assert ["python" in call["about"] for call in calls] == [False, True], name
        assert [call["result"] is not None for call in calls] == [True, True]
        assert "".join(text for _, text in details["submission"][0]["pieces"]) == "x = 1\n"


def test_a_page_holds_nothing_that_an_agent_wrote_as_markup_and_loads_nothing(run: Path, tmp_path: Path) -> None:
    case = run / "claude-qwen-maze-r1"
    write_hostile_claude_stream(case)
    (case / "submission" / "approach.py").write_bytes("\n".join(HOSTILE).encode("utf-8", "surrogatepass"))
    (case / "renders").mkdir()
    (case / "renders" / "0001-a.png").symlink_to("/etc/hostname")
    page = paged(tmp_path, run)
    without_data = re.sub(r'<script type="text/plain"[^>]*>[A-Za-z0-9+/=]*</script>', "", page.text)
    assert len(re.findall(r"<script|</script", without_data)) == 2 * 3
    assert "alert(1)" not in page.text
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', page.text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert not re.findall(r"<(?:link|img|iframe|object|embed)\b", without_data)
    details = page.details("claude-qwen-maze-r1")
    assert details["pictures"] == {}
    shown = json.dumps(details, ensure_ascii=False)
    assert not any(character in shown for character in "\x1b\u202e\ud800\x07")
    turn = details["transcripts"][0]["thread"]["entries"][0]
    assert turn["parts"][0]["text"]["text"] == HOSTILE[0]


def test_a_page_can_be_made_of_runs_that_have_lost_their_files(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "claude-qwen-maze-r1")
    (run / "pi-qwen-maze-r1" / "stream.jsonl").write_bytes(b"\xff\x00{[\n" * 9)
    odd = ["{", "7", '{"index": "<b>", "outcome": "solved"}', '{"index": 0, "outcome": "<b>"}']
    (run / "pi-qwen-maze-r1" / "episodes.jsonl").write_text("\n".join(odd))
    page = paged(tmp_path, run, run)
    assert len(page.rows) == 2 * len(own_names())
    assert page.details("claude-qwen-maze-r1")["transcripts"] == []
    assert page.details("pi-qwen-maze-r1")["episodes"] == []


@pytest.mark.parametrize("arguments", [["--html", "/nowhere/page.html"], ["--html", "."], ["/nowhere"]])
def test_what_cannot_be_read_or_written_is_a_plain_error(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    given = [str(run), *arguments] if arguments[0] == "--html" else [*arguments, "--html", "page.html"]
    with pytest.raises(SystemExit, match="2"):
        main(["report", *given])
    assert "Traceback" not in capsys.readouterr().err


def test_without_its_libraries_a_page_cannot_be_made(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(run), "--html", str(tmp_path / "page.html")])
    assert "which is not installed: run `proctor setup`" in capsys.readouterr().err
    assert not list(tmp_path.glob("*page.html*"))


texts = st.text(st.characters(exclude_characters="\x01", exclude_categories=["Cs"]), max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)


@given(st.lists(values, min_size=1))
def test_what_is_packed_is_unpacked_as_it_was(details: list[object]) -> None:
    blocks = Blocks()
    keys, found = [], []
    for one in details:
        keys.append(blocks.key)
        found += list(blocks.add(one))
    found += list(blocks.finish())
    by_name = {block.name: unpacked_block(block.text) for block in found}
    places = [key.split(".") for key in keys]
    assert [by_name[f"block-{block}"][int(place)] for block, place in places] == details


lines = st.lists(st.sampled_from(["a", "b", "", "  c", "d é"]), max_size=30)


@given(lines, lines)
def test_a_diff_shows_every_change_and_no_other(before: list[str], after: list[str]) -> None:
    shown = diff_lines("\n".join(before), "\n".join(after))
    old = "\n".join(before).splitlines()
    new = "\n".join(after).splitlines()
    skipped = sum(int(text.split()[0]) for sign, text in shown if sign == "@")
    assert len(old) - skipped >= len([sign for sign, _ in shown if sign in {" ", "-"}])
    assert [text for sign, text in shown if sign == "-"] == _taken(old, shown, "-")
    assert [text for sign, text in shown if sign == "+"] == _taken(new, shown, "+")
    assert (shown == []) == (old == new)


def _taken(lines: list[str], shown: list[tuple[str, str]], sign: str) -> list[str]:
    """Return the changed lines, in the order in which they occur in the text."""
    place, found = 0, []
    for mark, text in shown:
        if mark in {" ", sign}:
            place = lines.index(text, place) + 1
            found += [text] if mark == sign else []
    return found


@given(st.sampled_from(["approach.py", "a.json", "notes", "x.unknown", "Makefile"]), st.text(max_size=200))
def test_colours_never_change_a_text(name: str, text: str) -> None:
    assert "".join(piece for _, piece in coloured(name, text)) == text
