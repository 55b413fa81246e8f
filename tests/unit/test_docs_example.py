"""docs/adding-an-environment.md and docs/configuration.md: the examples work when a reader types them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.markdown import code_blocks, page, table
from tests.support.reader import Reader

EXAMPLE = code_blocks(page("docs/adding-an-environment.md"))
CONFIGURATION = page("docs/configuration.md")


@pytest.mark.nightly
def test_the_example_can_be_typed(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "mylab")
    for block in EXAMPLE:
        reader.type(block)
    assert reader.commands >= 8


def test_the_files_and_settings_of_the_configuration_page_are_right(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "mylab")
    blocks = (block.text for block in code_blocks(CONFIGURATION) if block.language == "yaml")
    config, suite, counted, prompt, known = blocks
    assert page("conf/environment/motion2d_generalized.yaml").endswith(counted)
    reader.run("proctor init")
    reader.write("conf/config.yaml", config)
    reader.write("conf/suite/pr.yaml", f"{suite}prompt: mine\n")
    reader.write("conf/prompt/mine.yaml", prompt)
    reader.write("conf/known_failures.yaml", re.sub(r"until: \S+", "until: 2999-12-31", known))
    changes = [row["write"] for row in table(CONFIGURATION, "Change something for one run")]
    settings = [setting for cell in changes for setting in re.findall(r"--set (?:'[^']*'|[^\s`]+)", cell)]
    assert len(settings) >= len(changes)
    shown = reader.run(f"pytest --suite pr --collect-only -q --set suite.allow_no_sandbox=true {' '.join(settings)}")
    assert "-scripted-small_maze-r3" in shown.stdout, shown.stderr
