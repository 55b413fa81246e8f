"""A limit in dollars needs the price of every model that runs, whatever the backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.case import Case
from harness.case_folder import CaseFolder
from harness.endings import ConfError
from harness.options import CommandLine
from harness.results.record_builder import Origin, RecordBuilder
from harness.run import Run
from harness.suite.choice import Choice
from tests.support.project import ROOT

SUITE = ("suite.environments=[small_maze]", "limits.cost_usd=2")


def cases(*settings: str, models: tuple[str, ...] = ()) -> list[Case]:
    return Run(ROOT, Path("unused"), CommandLine(settings=(*SUITE, *settings)), Choice(model=models)).cases


@pytest.mark.parametrize("backend", ["claude", "codex", "opencode", "pi"])
def test_a_model_without_a_price_is_refused_or_forced_by_name(backend: str) -> None:
    chosen = f"suite.backends=[{backend}]"
    said = (
        r"model/scripted\.yaml: limits\.cost_usd=2 cannot hold .*: give the model a `price` .*limits\.tokens.*unknown"
    )
    with pytest.raises(ConfError, match=said):
        cases(chosen)
    [free] = cases(chosen, "+model.scripted.price={input: 0, output: 0}")
    assert free.doubts == []
    [forced] = cases(chosen, "+model.scripted.price=unknown")
    assert forced.doubts == ["limits.cost_usd=2 does not hold: the price of model scripted is `unknown`"]


def test_a_model_that_the_price_list_knows_has_a_price() -> None:
    chosen = ("suite.backends=[opencode]", "suite.models=[claude_haiku]")
    [case] = cases(*chosen)
    assert case.doubts == []
    with pytest.raises(ConfError, match=r"prices of provider anthropic do not list it"):
        cases(*chosen, "model.claude_haiku.served_as=nobodys")


def test_only_the_models_that_are_chosen_need_a_price() -> None:
    chosen = ("suite.backends=[opencode]", "suite.models=[scripted,claude_haiku]")
    with pytest.raises(ConfError, match="cannot hold for model scripted"):
        cases(*chosen)
    assert len(cases(*chosen, models=("claude_haiku",))) == 1


def test_without_the_limit_no_price_is_needed() -> None:
    assert len(cases("limits.cost_usd=null")) == 2


def test_a_record_begins_with_the_doubts_of_its_case(tmp_path: Path) -> None:
    [forced] = cases("suite.backends=[claude]", "+model.scripted.price=unknown")
    assert RecordBuilder(forced, CaseFolder(tmp_path), Origin(harness="1")).record("passed").warnings == forced.doubts
