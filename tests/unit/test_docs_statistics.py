"""docs/statistics.md matches the code: its example prints what the page says, and it names every verdict and rule."""

from __future__ import annotations

import subprocess
import sys

from harness.verdict.comparison import Verdict
from harness.verdict.rules import Looks, Rules
from harness.verdict.summaries import LEVELS
from tests.support.markdown import code_blocks, page, table
from tests.support.project import ROOT

STATISTICS = page("docs/statistics.md")


def test_the_example_prints_what_the_page_says() -> None:
    blocks = code_blocks(STATISTICS)
    program = "\n".join(block.text for block in blocks if block.language == "python")
    said = "".join(block.text for block in blocks if block.language == "text")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == said


def test_every_verdict_is_explained() -> None:
    rows = table(STATISTICS, "Two runs: the verdicts")
    named = [name.strip("` ") for row in rows for name in row["verdict"].split(",")]
    assert sorted(named) == sorted(Verdict)


def test_the_numbers_of_the_rules_are_those_of_the_page() -> None:
    rules, looks = Rules(), Looks(first=2)
    text = " ".join(STATISTICS.split())
    assert f"At most {rules.false_discovery:.0%} of the nights" in text
    assert f"the margin: {rules.margin:.2f} in solve rate, or a fifth of a cost" in text
    assert (rules.ratio_margin, rules.missing) == (0.2, 0.5), "a fifth of a cost, more than half of the replicates"
    assert f"with {rules.power:.0%} chance" in text
    assert f"at most {looks.promising} after the first look" in text
    assert f"up to {looks.last} replicates, within {looks.budget:.0%} more sessions" in text
    assert all(level in text for level in LEVELS)
