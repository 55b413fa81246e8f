"""`proctor setup` for a CLI from PyPI: its own environment, complete or rebuilt, with only the pinned packages."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from backends.base import Backend, PipPackage
from backends.registry import backend
from harness.agent import cli
from harness.agent.cli import find_cli, pinned_folder
from harness.commands.errors import SetupFailed
from harness.commands.installing import clis

PACKAGE = PipPackage(package="mylab-agent", executable="agent", licence="MIT", megabytes=1)


def wheel(folder: Path, version: str) -> str:
    """Write a wheel of the CLI, and return the line that pins it."""
    file, info = folder / f"mylab_agent-{version}-py3-none-any.whl", f"mylab_agent-{version}.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mylab_agent.py", f"def main():\n    print('agent {version}')\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: mylab-agent\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\nagent = mylab_agent:main\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"mylab-agent=={version} --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


@pytest.fixture
def adapter() -> Backend:
    adapter: Backend = type("Fifth", (type(backend("pi")),), {"name": "fifth", "installation": PACKAGE})()
    return adapter


@pytest.fixture
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The requirements file of the CLI. The wheels are in the same folder, so pip asks no index."""
    file = tmp_path / "agent" / "requirements.txt"
    file.parent.mkdir()
    file.write_text(wheel(tmp_path, "4.5"))
    monkeypatch.setattr(cli, "cli_pins", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return file


@pytest.mark.usefixtures("pins")
def test_the_pinned_cli_is_installed_once_and_rebuilt_if_incomplete(adapter: Backend) -> None:
    told: list[str] = []
    for _ in range(2):
        assert clis.install(adapter, told.append) == find_cli(adapter)
    own = pinned_folder(PACKAGE)
    assert told == [f"Installing agent 4.5 (1 MB, MIT) in {own}"]
    assert find_cli(adapter).version == "4.5"
    lock = own.with_name(f"{own.name}.lock")
    lock.unlink()
    (own / "bin/agent").write_text("#!/bin/sh\nexit 3\n")
    assert clis.install(adapter, told.append).version == "4.5", "what is complete is not started again for each case"
    assert not lock.exists(), "nothing is written if the cache is complete: it may belong to another user"
    (own / "complete").unlink()
    (own / "bin/agent").write_text("half a script")
    clis.install(adapter, told.append)
    assert len(told) == 2
    assert "half" not in (own / "bin/agent").read_text()


@pytest.mark.nightly
def test_a_package_other_than_the_pinned_one_is_refused(adapter: Backend, pins: Path) -> None:
    pins.write_text(f"mylab-agent==4.5 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(SetupFailed, match="DO NOT MATCH THE HASHES"):
        clis.install(adapter, print)
    assert not (pinned_folder(PACKAGE) / "complete").exists()
