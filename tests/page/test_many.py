"""The page of 10,000 cases. How quick it is: `python -m tests.benchmarks.page`."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.page.make import make_page
from tests.page.chromium import Chromium
from tests.support.many_cases import ENVIRONMENTS, write_many_cases
from tests.support.pages import Page

CASES = 10_000


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of the cases."""
    folder = tmp_path_factory.mktemp("many")
    make_page(folder / "page.html", [write_many_cases(folder / "20261126T010000.000Z-nightly", CASES)])
    return folder / "page.html"


def test_a_page_of_ten_thousand_cases_is_smaller_than_15_mb(file: Path) -> None:
    assert file.stat().st_size < 15_000_000


def test_every_one_of_ten_thousand_cases_is_found(chromium: Chromium, file: Path) -> None:
    rows = Page(file).rows
    with chromium.opened(file) as page:
        for filter_, holds in {
            "backend=claude": lambda row: row["backend"] == "claude",
            "outcome=failed&environment=room03": lambda row: (
                (row["outcome"], row["environment"]) == ("failed", "room03")
            ),
            "q=approach.py:7+opus": lambda row: "approach.py:7" in row["why"] and "opus" in row["id"],
        }.items():
            page.go(f"#/?{filter_}")
            found = f"{sum(map(holds, rows)):,}"
            page.tab.locator("#many strong", has_text=found).wait_for()
        page.go("#/?sort=-cost_usd")
        dearest = max(rows, key=lambda row: row["cost_usd"])
        page.tab.locator("#case-table tbody th").first.locator(f"text={dearest['id']}").wait_for()
        page.go(f"#/?environment={ENVIRONMENTS[0]}&page=1")
        page.tab.locator(".pages", has_text="100 of").wait_for()
        page.tab.click("#case-table tbody th a >> nth=0")
        page.wait_for("case", ENVIRONMENTS[0])
        page.tab.locator(".thread").wait_for()
