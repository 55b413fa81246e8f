"""A box ends with its harness: no process, no container and no mount is left."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.security.conformance.places import PLACES, Place, require
from tests.security.test_sandbox_escapes import STUBBORN
from tests.support.ordinary_user import command_of_an_ordinary_user, folder_of_an_ordinary_user
from tests.support.sandboxes import END_S, processes_with

pytestmark = pytest.mark.containers

ROOT = Path(__file__).parents[3]
HARNESS = """
import sys
from pathlib import Path
from harness.case import SandboxConf
from harness.sandbox.factory import make_sandbox
from harness.sandbox.state import state_folder
from tests.support.sandboxes import python, request
folder, kind, program, token = sys.argv[1:]
box = make_sandbox(SandboxConf("doomed", kind)).open(request(Path(folder), endpoints=("model",)))
box.exec(python(program, token), {})
state = state_folder(kind) if kind != "bubblewrap" else "none"
print(box.pid, box.stdout.read(1).decode(), state, flush=True)
sys.stdin.read()
"""
NEXT = """
import sys
from harness.case import SandboxConf
from harness.sandbox.factory import prove
prove(SandboxConf("next", sys.argv[1]))
"""


@pytest.mark.parametrize("place", PLACES)
def test_a_harness_that_is_killed_leaves_nothing(place: Place) -> None:
    require(place)
    token = f"token-{secrets.token_hex(8)}"
    mounts = Path("/proc/self/mountinfo").read_text()
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    with folder_of_an_ordinary_user() as folder:
        folder.chmod(0o755)
        doomed = [sys.executable, "-c", HARNESS, str(folder / "box"), place.kind, STUBBORN, token]
        with subprocess.Popen(
            _as_in(place, doomed), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=variables
        ) as dying:
            assert dying.stdout
            init, up, state = dying.stdout.readline().split()
            assert up == b"x"
            everyone = [psutil.Process(int(init)), *psutil.Process(dying.pid).children(recursive=True)]
            os.kill(dying.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(everyone, timeout=END_S)
        assert alive == []
        assert processes_with(token) == []
        assert Path("/proc/self/mountinfo").read_text() == mounts
        assert _containers(place.kind) == []
    subprocess.run(_as_in(place, [sys.executable, "-c", NEXT, place.kind]), cwd=ROOT, env=variables, check=True)
    assert not Path(os.fsdecode(state)).exists(), "the next start removes what engines keep in files"


def _as_in(place: Place, command: list[str]) -> list[str]:
    return command if place.user == "root" else command_of_an_ordinary_user(command)


def _containers(kind: str) -> list[str]:
    """Return docker's containers, once it has had time to remove them. Podman's are gone with their folder."""
    deadline = time.monotonic() + END_S
    found = ["unknown"]
    while kind == "docker" and found and time.monotonic() < deadline:
        found = subprocess.run(
            ["docker", "ps", "--all", "--quiet"],  # noqa: S607 - found on PATH
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
    return found if kind == "docker" else []
