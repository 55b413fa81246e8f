"""The lists in `harness/gateway/allowed/` hold all that the pinned CLIs send to their models.

Each CLI plays one session over each of its wires. It works with what the lists let through.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import Struct

from backends.registry import backend, own_names
from harness.endings import Ending
from tests.contracts.rich import together
from tests.contracts.sent import Seen, quick, unlisted, watching
from tests.support.sessions import Played, Stage

pytestmark = pytest.mark.contract

EVERY = [(name, wire) for name in own_names() for wire in backend(name).capabilities.wires]


class Sent(Struct):
    """A played session, and what its CLI sent over each wire."""

    wire: str
    played: Played
    seen: dict[str, Seen]


@pytest.fixture(scope="module")
def sent_so_far() -> dict[tuple[str, str], Sent]:
    """The sessions of this module played so far."""
    return {}


@pytest.fixture
def sent(name: str, wire: str, sent_so_far: dict[tuple[str, str], Sent], stage: Stage, sessions: Path) -> Sent:
    """The one session of this module for each backend and wire."""
    if (name, wire) not in sent_so_far:
        with watching(enforced=True) as seen:
            played = stage.play(backend(name), sessions / f"{name}-{wire}", quick(name, wire))
        sent_so_far[name, wire] = Sent(wire, played, seen)
    return sent_so_far[name, wire]


each_wire = pytest.mark.parametrize(
    ("name", "wire"), [pytest.param(name, wire, marks=together(f"{name}-{wire}")) for name, wire in EVERY]
)


@each_wire
def test_all_that_a_cli_sends_is_listed(sent: Sent) -> None:
    assert sent.seen.keys() == {sent.wire}
    assert unlisted(sent.wire, sent.seen[sent.wire]) == [], "`make allowed` records them; look at each"
    assert sent.played.result.ending is Ending.FINISHED, sent.played.result.explanation


@each_wire
def test_a_cli_can_work_with_what_is_let_through(sent: Sent) -> None:
    assert sent.played.result.ending is Ending.FINISHED, sent.played.result.explanation
    assert sent.played.result.metered.turns >= 4
    assert {line["status"] for line in sent.played.ledger if line["kind"] == "turn"} == {200}
