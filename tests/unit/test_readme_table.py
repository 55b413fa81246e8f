"""The README's table of the CLIs is the one that `python -m tests.corpus.table` writes, with a row for each backend."""

from __future__ import annotations

import pytest

from backends.registry import backend, own_names
from tests.corpus import table
from tests.support.markdown import code, page
from tests.support.markdown import table as rows_below


def test_the_table_of_the_readme_is_the_generated_one() -> None:
    assert table.written(page("README.md")) == page("README.md"), "run `python -m tests.corpus.table`"


def test_each_backend_has_a_row_that_says_what_it_can() -> None:
    rows = {code(row["backend"]): row for row in rows_below(page("README.md"), "Which agents")}
    assert tuple(rows) == own_names()
    for name, row in rows.items():
        can = backend(name).capabilities
        said = [row[what] == "yes" for what in ("MCP", "subagents", "resumes", "compacts")]
        assert said == [can.mcp, can.subagents, can.resume, can.compact]


def test_the_table_says_what_a_cli_tells_of_itself() -> None:
    rows = {code(row["backend"]): row for row in rows_below(page("README.md"), "Which agents")}
    assert rows["kimi"]["tokens"] == "-"
    assert rows["codex"]["tells turns"] == "in its log"
    assert (rows["claude"]["cost"], rows["codex"]["cost"]) == ("yes", "-")
    assert rows["claude"]["own limits"] == "`turns`, `cost_usd`"


def test_a_page_without_marks_is_not_written() -> None:
    with pytest.raises(ValueError, match="no marks"):
        table.written("# Proctor\n")
