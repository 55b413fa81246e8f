"""Each guarantee of each kind of sandbox, by name. A control shows that its check can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.sandbox import canaries
from harness.sandbox.canaries import GRADED, MUST
from harness.sandbox.probe import _locks
from tests.security.conformance.places import GUARANTEES, LACKING, PLACES, Place, in_place, probed, require
from tests.security.escape import ROOMS, makers
from tests.security.escape_table import Found, problems
from tests.security.escapes import Outcomes
from tests.support.ordinary_user import folder_of_an_ordinary_user

pytestmark = pytest.mark.containers

NEEDS_HARDWARE = {"no vsock": "this machine has no vsock"}
"""Guarantees whose controls not every machine can make, and why."""
ALONE = ("unshare", "--pid", "--fork", "--mount-proc")
"""What makes a process PID 1, whose variables the check reads. That of a machine may have none."""


@pytest.mark.parametrize("name", GUARANTEES)
@pytest.mark.parametrize("place", PLACES)
def test_a_guarantee_holds_where_it_is_promised(place: Place, name: str) -> None:
    require(place)
    assert (name in probed(place).guarantees) == (name not in LACKING[place])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can do all that a sandbox must prevent")
@pytest.mark.parametrize("name", [*MUST, *GRADED])
def test_a_check_fails_without_a_sandbox(name: str, tmp_path: Path) -> None:
    """A process of the host does what a box must not be able to do."""
    if "read-only" in name:  # the host's own system is not written to
        assert canaries.writes(str(tmp_path))
        return
    before = ALONE if name == "no variables of the host" else ()
    table = "MUST" if name in MUST else "GRADED"
    program = f"import canaries; print(canaries.{table}[{name!r}][1]())"
    with _locks(os.path.realpath(sys.executable), canaries.SHELL, os.devnull):
        told = subprocess.run(
            [*before, sys.executable, "-c", program],
            cwd=Path(canaries.__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    if told == "False" and name in NEEDS_HARDWARE:
        pytest.skip(NEEDS_HARDWARE[name])
    assert told == "True"


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("place", PLACES)
def test_no_attempt_escapes(place: Place, room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    require(place)
    monkeypatch.setenv("SANDBOX", place.kind)
    found = in_place(place, partial(_sealed, room)) if place.user == "root" else _as_user(place, room)
    assert len(found) >= {"agent": 280, "policy": 280, "limits": 13}[room]
    assert problems({(room, place.user): Found(found, {})}) == []


def _sealed(room: str) -> Outcomes:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        return makers(room)[0](Path(name))


def _as_user(place: Place, room: str) -> Outcomes:
    with folder_of_an_ordinary_user() as folder:
        folder.chmod(0o755)
        return in_place(place, partial(makers(room)[0], folder))
