"""The lists in `harness/gateway/allowed/` hold all that the pinned CLIs send to their models."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.registry import backend, own_names
from harness.endings import Ending
from tests.contracts.sent import quick, unlisted, watching
from tests.support.sessions import Stage

pytestmark = pytest.mark.contract

EVERY = [(name, wire) for name in own_names() for wire in backend(name).capabilities.wires]


@pytest.mark.parametrize(("name", "wire"), EVERY)
def test_all_that_a_cli_sends_is_listed(name: str, wire: str, stage: Stage, sessions: Path) -> None:
    with watching() as seen:
        played = stage.play(backend(name), sessions / f"{name}-{wire}-sent", quick(name, wire))
    assert played.result.ending is Ending.FINISHED, played.result.explanation
    assert seen.keys() == {wire}
    assert unlisted(wire, seen[wire]) == [], "`make allowed` records them; look at each before you commit it"


@pytest.mark.parametrize(("name", "wire"), EVERY)
def test_a_cli_can_work_with_what_is_let_through(name: str, wire: str, stage: Stage, sessions: Path) -> None:
    played = stage.play(backend(name), sessions / f"{name}-{wire}-served", quick(name, wire))
    assert played.result.ending is Ending.FINISHED, played.result.explanation
    assert played.result.metered.turns >= 4
    assert {line["status"] for line in played.ledger if line["kind"] == "turn"} == {200}
