"""Every CLI solves a maze in every kind of sandbox, and no secret of the host is in a box or in the run.

The host's environment and its login files hold a token. The sessions run as `pytest --suite smoke` does.
"""

from __future__ import annotations

import gzip
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.registry import names
from harness.case import SandboxConf
from harness.sandbox.factory import make_sandbox
from harness.sandbox.image import images_folder
from tests.security.conformance import secret_hunter
from tests.security.conformance.places import PLACES, Place, probed, require
from tests.support.ordinary_user import command_of_an_ordinary_user, folder_of_an_ordinary_user, given_to_them
from tests.support.project import Project
from tests.support.sandboxes import PYTHON, read_all, request

pytestmark = pytest.mark.containers

ROOT = Path(__file__).parents[3]
CACHE = images_folder().parent.parent
"""The cache with the CLIs and the image, also for an ordinary user with a home of its own."""
LOGINS = (".claude/.credentials.json", ".codex/auth.json")
VARIABLES = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "PROCTOR_TEST_TOKEN")


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_of_an_ordinary_user() as folder:
        folder.chmod(0o755)
        yield folder


def log_in(home: Path, token: str) -> None:
    """Write login files as the CLIs do, each with the token."""
    for name in LOGINS:
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text(json.dumps({"accessToken": token, "tokens": {"access_token": token}}))


def environment_with(home: Path, token: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(CACHE), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return kept | own | dict.fromkeys(VARIABLES, token)


@pytest.mark.parametrize("place", PLACES)
def test_every_cli_solves_a_maze_and_no_secret_is_in_the_run(place: Place, folder: Path) -> None:
    require(place)
    token = f"canary-{secrets.token_hex(24)}"
    log_in(folder / "home", token)
    (folder / "project").mkdir()
    project = Project(folder / "project")
    given_to_them(folder)
    pytest_itself = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--suite", "smoke"]
    command = [*pytest_itself, f"--set=sandbox={place.kind}"]
    done = subprocess.run(
        command if place.user == "root" else command_of_an_ordinary_user(command),
        cwd=project.folder,
        env=environment_with(folder / "home", token),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    records = project.records
    assert {record.case.backend for record in records.values()} == set(names())
    for record in records.values():
        assert (record.outcome, record.score and record.score.solve_rate) == ("passed", 1.0), record.explanation
        assert set(record.sandbox_guarantees) == set(probed(place).guarantees)
        assert place.kind in (record.versions.sandbox or "")
    kept = [path for path in (project.folder / "runs").rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(kept) > 40
    assert [path for path in kept if token.encode() in contents(path)] == []


def contents(path: Path) -> bytes:
    """Return what a file holds, also if it is compressed."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


HOLDS = """
import sys
from pathlib import Path
from tests.security.conformance.test_sessions import hunt
print(hunt(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
"""


def hunt(kind: str, folder: Path, token: str, since: str) -> str:
    """Return where a process of a box finds the token, as lines."""
    shown = (*PYTHON.readable, Path(secret_hunter.__file__))
    with make_sandbox(SandboxConf("hunted", kind)).open(request(folder, readable=shown)) as box:
        box.exec([PYTHON.inside, "-I", "-S", "-B", secret_hunter.__file__, since], {})
        with box.stdin as told:
            told.write(token.encode())
        return read_all(box).decode()


@pytest.mark.parametrize("place", [*PLACES, pytest.param(Place("none", "root"), id="none, the control")])
def test_no_secret_is_in_a_box(place: Place, folder: Path) -> None:
    if place.kind != "none":
        require(place)
    since = time.time() - 5
    token = f"canary-{secrets.token_hex(24)}"
    log_in(folder / "home", token)
    (folder / "home/box").mkdir()
    given_to_them(folder)
    command = [sys.executable, "-c", HOLDS, place.kind, str(folder / "home/box"), token, str(since)]
    done = subprocess.run(
        command if place.user == "root" else command_of_an_ordinary_user(command),
        cwd=ROOT,
        env=environment_with(folder / "home", token),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = done.stdout.split("\n")
    assert "looked" in found
    if place.kind == "none":
        assert any(line.endswith(LOGINS[0]) for line in found)
        assert any(line.endswith("/environ") for line in found)
    else:
        assert [line for line in found if line not in {"looked", ""}] == []
