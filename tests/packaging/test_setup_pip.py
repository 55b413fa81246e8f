"""`proctor setup` for a CLI from PyPI: its own environment, complete or rebuilt, with only the pinned packages."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from backends.base import Backend, PipPackage
from backends.registry import backend
from harness.agent import cli
from harness.agent.cli import find_cli, virtual_environment
from harness.commands.errors import SetupFailed
from harness.commands.installing import pip

PACKAGE = PipPackage(package="mylab-agent", executable="agent")


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
def adapter(monkeypatch: pytest.MonkeyPatch) -> Backend:
    adapter: Backend = type("Fifth", (type(backend("pi")),), {"name": "fifth", "installation": PACKAGE})()
    monkeypatch.setattr(pip, "own_names", lambda: ("pi", "fifth"))
    monkeypatch.setattr(pip, "backend", lambda name: adapter if name == "fifth" else backend(name))
    return adapter


@pytest.fixture
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The requirements file of the CLI. The wheels are in the same folder, so pip asks no index."""
    file = tmp_path / "mylab-agent.txt"
    file.write_text(wheel(tmp_path, "4.5"))
    for module in (cli, pip):
        monkeypatch.setattr(module, "cli_requirements", lambda: [file])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return file


def test_the_pinned_cli_is_installed_once_and_rebuilt_if_incomplete(
    tmp_path: Path, adapter: Backend, pins: Path
) -> None:
    told: list[str] = []
    for _ in range(2):
        pip.install(tmp_path, told.append)
    own = virtual_environment(PACKAGE, tmp_path)
    assert told == [f"Installing mylab-agent in {own}"]
    assert find_cli(adapter, tmp_path).version == "4.5"
    (own / "complete").unlink()
    (own / "bin/agent").write_text("half a script")
    pip.install(tmp_path, told.append)
    assert len(told) == 2
    assert "half" not in (own / "bin/agent").read_text()


@pytest.mark.nightly
def test_a_package_other_than_the_pinned_one_is_refused(
    tmp_path: Path, adapter: Backend, pins: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pins.write_text(f"mylab-agent==4.5 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(SetupFailed, match="pip could not install mylab-agent: see its output above"):
        pip.install(tmp_path, print)
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert not (virtual_environment(PACKAGE, tmp_path) / "complete").exists()
