"""What container engines are asked for, and what happens where one is missing. Programs that only answer stand in.

`make containers` runs the real ones. No machine of Proctor's has apptainer, so its command line is all that is tested.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from harness.case import SandboxConf
from harness.sandbox.base import SandboxError
from harness.sandbox.factory import make_sandbox, prove
from harness.sandbox.paths import base_interpreter
from harness.sandbox.state import state_folder
from tests.support.ordinary_user import as_ordinary_user, folder_of_an_ordinary_user
from tests.support.sandboxes import request

KINDS = ("podman", "docker", "apptainer")
STAND_IN = """#!/bin/sh
case "$*" in
  *--version|*version*--format*) echo "the version"; exit;;
  "image ls"*) echo known; exit;;
  "ps "*) exit;;
esac
for word; do echo "$word"; done > "$0.argv"
env > "$0.variables"
echo "no such luck" >&2
exit 3
"""


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a stand-in for each engine, on PATH; and an image."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for kind in KINDS:
        (programs / kind).write_text(STAND_IN)
        (programs / kind).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if os.geteuid() != 0:  # whether this user may map further uids does not matter here
        shutil.copy(programs / "docker", programs / "newuidmap")
        monkeypatch.setattr("harness.sandbox.podman._has_further_ids", lambda: True)
    image = tmp_path / "cache/proctor/image/0123"
    for name in ("usr/bin", "usr/local", "etc/ssl/certs"):
        (image / "root" / name).mkdir(parents=True)
    (image / "root/bin").symlink_to("usr/bin")
    image.with_name("current").symlink_to("0123")
    return programs


def asked(engines: Path, kind: str, folder: Path) -> list[str]:
    """Return the words of the command line with which a box of this kind is opened."""
    sandbox = make_sandbox(SandboxConf("mine", kind, tmp_mb=2))
    with pytest.raises(SandboxError, match=f"{kind} could not seal a box: no such luck\n."):
        sandbox.open(request(folder, readable=(engines,), endpoints=("model",)))
    return (engines / f"{kind}.argv").read_text().splitlines()


SEALED = {
    "podman": [
        *("run", "--rm", "--network none", "--read-only", "--read-only-tmpfs=false", "--cap-drop all", "--ipc private"),
        *("--security-opt no-new-privileges", "--pid private", "--uts private", "--user 1000:1000", "--rootfs"),
        *("--uidmap 0:", "--uidmap 1000:", "--gidmap 1000:", "type=tmpfs,destination=/tmp,tmpfs-mode=1777"),
    ],
    "docker": [
        *("run", "--rm", "--network none", "--read-only", "--cap-drop ALL", "--security-opt no-new-privileges"),
        *("--ipc private", "--pull never", "proctor-image:0123", "--label proctor.owner="),
    ],
    "apptainer": [
        *("exec", "--contain", "--cleanenv", "--no-home", "--pid", "--ipc", "--net --network none", "--no-privs"),
        *("--drop-caps all", "--no-init", "--pwd /"),
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_is_asked_for_a_sealed_container(engines: Path, tmp_path: Path, kind: str) -> None:
    words = asked(engines, kind, tmp_path / "box")
    line = " ".join(words)
    assert [wanted for wanted in SEALED[kind] if wanted not in line] == []
    start = words.index("/usr/bin/env")
    init = ["/sandbox/init.py", "/sandbox/control/socket", "/sandbox/filter"]
    assert words[start:] == ["/usr/bin/env", "-i", str(base_interpreter()), "-I", "-S", "-E", "-B", *init]


@pytest.mark.parametrize("kind", KINDS)
def test_a_container_can_write_only_to_its_own_folders(engines: Path, tmp_path: Path, kind: str) -> None:
    words = asked(engines, kind, tmp_path / "box")
    binds = [word.split(",") for word in words if word.startswith("type=bind")]
    writable = {parts[2] for parts in binds if parts[-1] not in {"readonly", "ro"}}
    assert writable == {"destination=/sandbox/workspace", "destination=/sandbox/home"}
    assert ["type=bind", f"source={engines}", f"destination={engines}"] in [parts[:3] for parts in binds]


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_gets_no_variable_but_its_own(
    engines: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "canary")
    asked(engines, kind, tmp_path / "box")
    assert "canary" not in (engines / f"{kind}.variables").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_that_does_not_open_leaves_nothing(engines: Path, tmp_path: Path, kind: str) -> None:
    asked(engines, kind, tmp_path / "box")
    assert list(state_folder(kind).glob("box-*")) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_image_is_named_with_the_command(engines: Path, kind: str, tmp_path: Path) -> None:
    (tmp_path / "cache/proctor/image/current").unlink()
    with pytest.raises(SandboxError, match="there is no image for containers\nbuild one: proctor image"):
        prove(SandboxConf("mine", kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_is_missing_is_an_error_and_never_another_kind(
    engines: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxError, match=f"{kind} is not installed\n."):
        prove(SandboxConf("mine", kind))


def test_what_the_image_lacks_is_named(engines: Path, tmp_path: Path) -> None:
    sandbox = make_sandbox(SandboxConf("mine", "podman"))
    with pytest.raises(SandboxError, match="no place to show /usr/bin/env: its image lacks it\nbuild the image again"):
        sandbox.open(request(tmp_path / "box", readable=(Path("/usr/bin/env"),)))


@pytest.mark.skipif(os.geteuid() != 0, reason="root plays the user")
def test_an_ordinary_user_without_further_uids_is_told_what_podman_needs(engines: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)

    def opens() -> str:
        try:
            make_sandbox(SandboxConf("mine", "podman")).open(request(box))
        except SandboxError as error:
            return str(error)
        return "it opened"

    with folder_of_an_ordinary_user() as folder:
        box = folder / "box"
        told = as_ordinary_user(opens)
    assert told.startswith("this user has no further uids for a user namespace\nas root: apt-get install uidmap")


def test_auto_takes_bubblewrap_where_it_holds_everything() -> None:
    proven = prove(SandboxConf("auto", "auto"))
    assert proven.version.startswith("bubblewrap")
    assert "no network" in proven.guarantees


def test_auto_never_takes_a_kind_that_does_not_seal(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxError) as raised:
        prove(SandboxConf("auto", "auto"))
    for kind in ("bubblewrap", *KINDS):
        assert f"{kind}: {kind} is not installed" in str(raised.value)
