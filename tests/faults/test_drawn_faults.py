"""Real runs are struck by faults at moments that hypothesis draws: `make faults`. Nothing is left, and nothing is lost.

A draw is one fault in one run. The run is then resumed, and must equal one that nothing has struck.
"""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.faults.figures import Drawn, note
from tests.faults.strikes import FAULTS, Draw, Fault, Strike
from tests.support.struck_run import StruckProject, Unbroken

pytestmark = pytest.mark.faults

DRAWS = st.randoms(use_true_random=True).map(lambda chance: Draw(round(chance.random(), 4), chance.randrange(32)))
"""Hypothesis draws the seed. Of plain numbers, it would draw small ones too often."""


class Scene:
    """A project that one kind of fault strikes. `strike_at` makes one draw, and returns what came of it."""

    def __init__(self, folder: Path, fault: Fault, stack: ExitStack) -> None:
        self._fault = fault
        self._struck = StruckProject(folder)
        self._strike: Strike = fault.set_up(self._struck, stack)
        stack.callback(self._struck.kill)
        self._agents = ("--suite", "struck")
        self._unbroken: dict[bool, Unbroken] = {True: self._struck.unbroken()}
        [first, *_] = self._unbroken[True].records.values()
        self._given = folder / "given"
        shutil.copytree(self._struck.runs / "latest" / str(first.artifacts) / "submission", self._given)

    def strike_at(self, draw: Draw, *, agent: bool) -> Drawn | None:
        """Strike one run. Return `None` if it ended before."""
        struck, began = self._struck, time.monotonic()
        struck.arguments = self._agents if agent else (*self._agents, "--submission", str(self._given))
        if agent not in self._unbroken:
            self._unbroken[agent] = struck.unbroken()
            began = time.monotonic()
        unbroken = self._unbroken[agent]
        struck.begin()
        run = struck.start()
        hit = self._strike(struck, run, draw, unbroken.seconds)
        status = struck.finish(run)
        struck.repair()
        wrong = ["the run hangs"] if status is None else []
        wrong += struck.complete(status)
        wrong += self._differing(unbroken)
        wrong += struck.mistimed(time.monotonic() - began)
        drawn = Drawn(
            moment=draw.moment,
            which=draw.which,
            agent=agent,
            left=struck.left.found(),
            lost=struck.lost(),
            wrong=wrong,
            seconds=round(time.monotonic() - began, 1),
            output=struck.output.read_text(errors="replace")[-4000:] if wrong else "",
        )
        struck.kill()
        return drawn if hit or drawn.faults else None

    def _differing(self, unbroken: Unbroken) -> list[str]:
        """Return the sessions whose records are not those of the unbroken run."""
        same = self._fault.same
        now = self._struck.records()
        return [
            f"the record of {session} differs"
            for session, record in unbroken.records.items()
            if session not in now or same(now[session]) != same(record)
        ]


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_at_any_moment_leaves_nothing_and_loses_no_record(tmp_path: Path, kind: str) -> None:
    fault = FAULTS[kind]
    if (missing := fault.missing()) is not None:
        pytest.skip(missing)
    faults = []
    with ExitStack() as stack:
        scene = Scene(tmp_path / "struck", fault, stack)

        @given(draw=DRAWS, agent=st.just(True) if fault.needs_agent else st.booleans())
        def strike(draw: Draw, agent: bool) -> None:
            drawn = scene.strike_at(draw, agent=agent)
            assume(drawn is not None)
            assert drawn is not None
            note(kind, drawn)
            faults.extend(drawn.faults)

        strike()
    assert faults == []
