"""What agents and models write is only ever shown. Nothing of it runs, loads, or leaves its box."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.registry import own_names
from harness.commands.main import main
from harness.page.make import make_page
from tests.page.chromium import NARROW, WIDE, Chromium, Opened
from tests.support.hostile_texts import HOSTILE, write_hostile_claude_stream, write_hostile_run
from tests.support.pages import Page

_COVERED = """() => {
  const place = document.querySelector("h1").getBoundingClientRect();
  const top = document.elementFromPoint(place.left + 2, place.top + 8);
  return top === null || !top.closest("h1");
}"""

_UNFOLD = """() => {
  for (const more of document.querySelectorAll("button.more")) more.click();
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  window.scrollTo({ top: 0, behavior: "instant" });
}"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run in which every text is hostile."""
    return write_hostile_run(tmp_path_factory.mktemp("hostile") / "20261126T010000.000Z-nightly")


@pytest.fixture(scope="module")
def every_word(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return such a run in which the stream of Claude Code has each text in each place."""
    folder = write_hostile_run(tmp_path_factory.mktemp("words") / "20261126T020000.000Z-nightly")
    write_hostile_claude_stream(folder / "claude-qwen-maze-r1")
    return folder


def require_whole(page: Opened, view: str) -> None:
    """Fail if a text ran, left its box, or covers the page."""
    assert page.tab.evaluate("() => window.owned === undefined"), view
    assert page.tab.locator("main :is(iframe, script, base, link, meta, [onload], [onerror], [autofocus])").count() == 0
    assert page.outside() == [], view
    assert not page.tab.evaluate(_COVERED), view


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_nothing_runs_and_nothing_breaks_the_page(
    chromium: Chromium, run: Path, every_word: Path, pictures: Path, tmp_path: Path, width: int
) -> None:
    file = tmp_path / "page.html"
    make_page(file, [run, every_word])
    rows = Page(file).rows
    with chromium.opened(file, width=width, pictures=pictures) as page:
        require_whole(page, "overview")
        page.picture(f"hostile-overview-{width}")
        for row in rows:
            if row["run"] and row["backend"] != "claude":
                continue
            page.go(f"#/case/{row['key']}")
            page.wait_for("case", row["id"])
            page.tab.locator(".thread").first.wait_for()
            page.tab.evaluate(_UNFOLD)
            page.picture(f"hostile-{row['backend']}-{row['run']}-{width}")
            require_whole(page, row["id"])
        one, other = (row["key"] for row in rows if row["backend"] == "claude")
        page.go(f"#/compare/{one}/{other}")
        page.wait_for("compare")
        require_whole(page, "compare")
        for text in HOSTILE[:9]:
            page.tab.evaluate("(text) => { location.hash = `#/?q=${encodeURIComponent(text)}&backend=${text}`; }", text)
            page.tab.locator("#cases p", has_text="No session fits").wait_for()
            require_whole(page, "a link with hostile words")


@pytest.mark.parametrize("backend", own_names())
def test_a_terminal_gets_no_escape(
    every_word: Path, run: Path, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    for folder in (run, every_word):
        assert main(["show", str(folder), f"{backend}-qwen-maze-r1", "--full"]) == 0
        printed = capsys.readouterr().out
        assert "<script>" in printed
        assert not {"\x1b", "\x07", "\x9b", "\b", "\r", "\u202e", "\u2066", "\x01", "\0"} & set(printed)
