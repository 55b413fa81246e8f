"""A clause of the contract that runs at night, because some CLIs wait two minutes before they give up."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backends.registry import backend, names
from harness.endings import Ending
from harness.gateway.script import Script, ScriptedTurn
from tests.support.sessions import LIMITS, Play, Stage

pytestmark = pytest.mark.nightly


@pytest.mark.parametrize("name", names())
def test_the_model_is_unreachable_if_nobody_listens(name: str, stage: Stage, sessions: Path) -> None:
    script = Script((ScriptedTurn(text="Never said."),))
    limits = msgspec.structs.replace(LIMITS, idle_s=200)
    result = stage.play(
        backend(name), sessions / f"{name}-refused", Play(script=script, limits=limits, refuse=True)
    ).result
    assert result.ending is Ending.MODEL_UNREACHABLE, result.explanation
