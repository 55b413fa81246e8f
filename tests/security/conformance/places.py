"""Where the conformance suite runs: each kind of sandbox that seals, as root and as an ordinary user."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple, TypeVar

import pytest

from harness.case import SandboxConf
from harness.sandbox.canaries import GRADED, MUST, USERS
from harness.sandbox.factory import make_sandbox
from harness.sandbox.keeper import CPU, DISK, LIMITS, MEMORY, UIDS
from harness.sandbox.probe import Capability, probe
from tests.security.user import as_user_with_python

T = TypeVar("T")

GUARANTEES = (*MUST, *GRADED, USERS, *LIMITS)
_SHARED_FILES, _SHARED_DEVICES = "own locks on files", "own locks on devices"


class Place(NamedTuple):
    """A kind of sandbox, and who uses it."""

    kind: str
    user: str

    def __str__(self) -> str:
        return f"{self.kind}, {self.user}"


LACKING: dict[Place, set[str]] = {
    Place("bubblewrap", "root"): {USERS},
    Place("bubblewrap", "user"): {_SHARED_DEVICES, *LIMITS},
    Place("podman", "root"): {_SHARED_FILES, _SHARED_DEVICES},
    Place("podman", "user"): {_SHARED_FILES, _SHARED_DEVICES, *LIMITS},
    Place("docker", "root"): {_SHARED_FILES, USERS},
    Place("docker", "user"): {_SHARED_FILES, USERS, "small /proc", MEMORY, CPU, DISK, UIDS},
}
"""What each place does not guarantee on a machine with Landlock and cgroups. `docs/security.md` has the same table."""

PLACES = [pytest.param(place, id=str(place)) for place in LACKING]


def in_place(place: Place, action: Callable[[], T]) -> T:
    """Call `action` as the user of a place. Skip the test if that cannot be done here."""
    if place.user == "root":
        if os.geteuid() != 0:
            pytest.skip("only root can try what root may")
        return action()
    return as_user_with_python(action)


@cache
def probed(place: Place) -> Capability:
    """Return what the probe finds in a place."""
    return in_place(place, partial(_probed, place.kind))


def _probed(kind: str) -> Capability:
    return probe(make_sandbox(SandboxConf(kind, kind)))


def require(place: Place) -> None:
    """Skip the test if the sandbox is not installed here. Fail if it is, and does not work."""
    found = probed(place)
    if not found.ok and "is not installed" in found.reason:
        pytest.skip(f"{found.reason}: {found.remedy}")
    assert found.ok, f"{found.reason}\n{found.remedy}"
