"""What a reader does with the page of a run: look, filter, open a case, compare, by mouse and by keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.registry import own_names
from harness.page.make import make_page
from tests.page.chromium import NARROW, WIDE, Chromium, Opened, Scheme
from tests.support.pages import Page

SIZES = pytest.mark.parametrize("width", [WIDE, NARROW])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
AGENTS = own_names()
EVERY = 4 * len(AGENTS)
"""All cases of the run: each agent's models are `careful` and `hasty`, and each case has two replicates."""

_ADDRESSES = "(all) => all.map((one) => one.getAttribute('href') || one.href.baseVal)"


@pytest.fixture(scope="session")
def file(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of the run."""
    page = tmp_path_factory.mktemp("page") / "page.html"
    make_page(page, [run])
    return page


def shown_cases(page: Opened) -> list[str]:
    """Return the names in the table of cases."""
    names: list[str] = page.tab.locator("#case-table tbody th").all_inner_texts()
    return names


def key_of(file: Path, case: str) -> str:
    """Return the key of a case in the addresses of a page."""
    [key] = [row["key"] for row in Page(file).rows if row["id"] == case]
    return str(key)


def test_a_reader_goes_from_the_overview_to_a_picture_and_back(chromium: Chromium, file: Path) -> None:
    with chromium.opened(file) as page:
        tab = page.tab
        assert "worse: " in tab.locator(".verdict.bad").inner_text()
        assert tab.locator("#heatmap .heat").count() == 2 * len(AGENTS)
        tab.locator(".chart svg").first.wait_for()
        assert len(shown_cases(page)) == EVERY
        assert "output tokens" in tab.locator("#case-table thead").inner_text()  # a table elsewhere counts all tokens

        tab.select_option("#filter-model", "hasty")
        tab.locator("#many", has_text=f"{EVERY // 2} of {EVERY}").wait_for()
        tab.locator("#counts .tile", has_text="failed").click()
        assert tab.input_value("#filter-outcome") == "failed"
        assert set(shown_cases(page)) == {f"{name}-hasty-small_maze-r{n}" for name in AGENTS for n in (1, 2)}
        tab.fill("#search", "opencode r2")
        tab.locator("#many", has_text=f"1 of {EVERY}").wait_for()
        assert tab.evaluate("document.activeElement.id") == "search"
        assert "q=opencode" in tab.url

        tab.click("#case-table tbody th a")
        page.wait_for("case", "opencode-hasty-small_maze-r2")
        assert "95% interval" in tab.locator("#summary").inner_text()
        assert "after 1 failed request (status 529)" in tab.locator(".turn[aria-label='Turn 2'] header").inner_text()
        removed = tab.locator(".diff .removed").first
        assert "return 1" in removed.inner_text()
        assert "return 1 if row < goal else 3" in tab.locator(".diff .added").last.inner_text()
        assert tab.evaluate("document.querySelector('.call img').naturalWidth") > 0
        tab.go_back()
        page.wait_for("overview")
        assert tab.input_value("#search") == "opencode r2"
        assert shown_cases(page) == ["opencode-hasty-small_maze-r2"]


def test_an_address_leads_to_the_same_view(chromium: Chromium, file: Path) -> None:
    with chromium.opened(file) as page:
        page.go("#/?backend=pi&outcome=passed&sort=-turns")
        page.tab.locator("#many", has_text=f"2 of {EVERY}").wait_for()
        assert page.tab.input_value("#filter-backend") == "pi"
        page.go("#/?backend=nobody")
        page.tab.locator("#cases", has_text="No session fits").wait_for()
        page.go("#/case/no-such-case")
        page.wait_for("case", "no such case")
        page.go(f"#/case/{key_of(file, 'pi-hasty-small_maze-r1')}")
        page.wait_for("case", "pi-hasty-small_maze-r1")


def test_every_mark_leads_to_its_cases(chromium: Chromium, file: Path) -> None:
    kinds = ("#counts a.tile", ".causes a", "#heatmap .heat", "#heatmap th a", "#changes a", ".chart svg a")
    with chromium.opened(file) as page:
        page.tab.locator(".chart svg a").first.wait_for()
        marks = {kind: page.tab.locator(kind).evaluate_all(_ADDRESSES) for kind in kinds}
        for kind, addresses in marks.items():
            assert addresses, kind
            for address in set(addresses):
                page.go("#/?q=nobody")
                page.tab.locator("#cases", has_text="No session fits").wait_for()
                page.go(address)
                page.tab.locator("#case-table").wait_for()  # it is not there if no case fits


def test_a_reader_can_do_all_by_keyboard(chromium: Chromium, file: Path) -> None:
    with chromium.opened(file) as page:
        press = page.tab.keyboard.press
        press("/")
        assert page.tab.evaluate("document.activeElement.id") == "search"
        page.tab.keyboard.type("hasty")
        page.tab.locator("#many", has_text=f"{EVERY // 2} of {EVERY}").wait_for()
        press("Escape")
        names = shown_cases(page)
        press("j")
        press("j")
        press("k")
        press("j")
        assert page.tab.evaluate("document.activeElement.textContent") == names[1]
        press("Enter")
        page.wait_for("case", names[1])
        press("n")
        page.wait_for("case", names[2])
        press("p")
        page.wait_for("case", names[1])
        press("j")
        press("j")
        assert page.tab.evaluate("document.activeElement.getAttribute('aria-label')") == "Turn 2"
        press("?")
        assert page.tab.locator("dialog[open]").inner_text().startswith("Keys")
        press("Escape")
        press("t")
        assert page.tab.inner_text("#theme") == "theme: light"
        press("t")
        assert page.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
        press("o")
        page.wait_for("overview")
        assert shown_cases(page) == names


def test_two_sessions_show_where_they_parted(chromium: Chromium, file: Path, pictures: Path) -> None:
    with chromium.opened(file, pictures=pictures) as page:
        page.go(f"#/case/{key_of(file, 'codex-careful-small_maze-r1')}")
        page.wait_for("case", "codex-careful")
        page.tab.select_option("#compare", label="codex-hasty-small_maze-r1")
        page.wait_for("compare", "Two sessions")
        assert page.tab.locator(".parted .note").inner_text() == "Here the agents parted."
        assert page.tab.locator(".pair.heads").inner_text().count("codex-") == 2
        assert "The same prompt. The same instructions. The same tools." in page.tab.locator("#main").inner_text()
        page.tab.go_back()
        page.tab.select_option("#compare", label="claude-careful-small_maze-r1")
        page.tab.locator("#main", has_text="Different prompt.").wait_for()


@SIZES
@SCHEMES
def test_no_view_has_a_barrier_or_leaves_the_window(
    chromium: Chromium, file: Path, pictures: Path, width: int, scheme: Scheme
) -> None:
    one, other = (key_of(file, f"claude-{model}-small_maze-r1") for model in ("hasty", "careful"))
    places = {"overview": "#/", "case": f"#/case/{one}", "compare": f"#/compare/{one}/{other}"}
    with chromium.opened(file, width=width, scheme=scheme, pictures=pictures) as page:
        for view, place in places.items():
            page.go(place)
            page.wait_for(view)
            page.tab.wait_for_function("() => document.querySelectorAll('.chart, .thread').length")
            page.picture(f"{view}-{width}-{scheme}")
            assert page.barriers() == [], view
            assert page.outside() == [], view
