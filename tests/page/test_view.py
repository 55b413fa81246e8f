"""`proctor view` in a browser: a reader follows a run that goes on, and is not disturbed by it."""

from __future__ import annotations

from pathlib import Path

from tests.page.chromium import NARROW, Chromium
from tests.support.project import Project
from tests.support.runs import night, write_run
from tests.support.viewing import viewed

EARLIER = "20261126T010000.000Z-nightly"


def test_a_reader_follows_a_running_case_to_its_end(chromium: Chromium, tmp_path: Path, pictures: Path) -> None:
    project = Project(tmp_path)
    runs = project.folder / "runs"
    write_run(runs / EARLIER, night({("pi", "maze"): [20, 10], ("codex", "maze"): [5, 5]}))
    with viewed(runs) as served, chromium.opened(served.address, width=NARROW, pictures=pictures) as page:
        tab = page.tab
        tab.locator("#many", has_text="4 of 4").wait_for()
        tab.fill("#search", "maze")
        tab.mouse.wheel(0, 150)
        tab.wait_for_timeout(200)
        place = tab.evaluate("scrollY")
        with project.stuck():
            running = tab.locator("#running tbody tr", has_text="claude-slow-small_maze")
            running.locator("text=runs a tool (Bash)").wait_for()
            tab.locator("#many", has_text="5 of 5").wait_for()
            assert tab.evaluate("[document.activeElement.id, scrollY]") == ["search", place]
            assert tab.input_value("#search") == "maze"
            assert page.barriers() == []
            assert page.outside() == []
            page.picture("view-narrow")
            running.locator("a").click()
            tab.locator("#so-far .turn").first.wait_for()
            assert "1 of 50" in tab.locator("#now").inner_text()
            assert "without a result" in tab.locator("#so-far .call summary").inner_text()
            assert page.barriers() == []
            assert page.outside() == []
            page.picture("view-running-narrow")
        tab.locator(".lead", has_text="its process was killed").wait_for()
        assert "q=maze" in tab.url
        tab.click("text=all cases")
        tab.locator(".state.killed").wait_for()
        tab.select_option("#choose-runs", EARLIER)
        page.wait_for("overview", EARLIER)
        tab.locator("#many", has_text="4 of 4").wait_for()
