"""The paths that an interpreter and a CLI may read: all that they need, but not the home directory around them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.sandbox.paths import base_interpreter, base_paths, interpreter_paths, program_paths


def test_the_running_interpreter_is_covered() -> None:
    for place in (Path(sys.prefix), Path(sys.base_prefix), base_interpreter(), Path(sys.executable).resolve()):
        assert any(place.is_relative_to(path) for path in interpreter_paths()), place
    assert any(base_interpreter().is_relative_to(path) for path in base_paths())


def test_links_to_an_installation_are_covered_without_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    installed = home / "share" / "python" / "3.11.7" / "bin" / "python"
    for file in (installed, home / "repo" / ".venv" / "bin" / "x", home / "bin" / "x"):
        file.parent.mkdir(parents=True)
        file.touch()
    (home / "bin" / "python3").symlink_to("../share/python/3.11.7/bin/python")
    executable = home / "repo" / ".venv" / "bin" / "python"
    executable.symlink_to(home / "bin" / "python3")
    (home / "share" / "python" / "3.11").symlink_to("3.11.7")
    monkeypatch.setattr(sys, "executable", str(executable))
    monkeypatch.setattr(sys, "_base_executable", str(home / "bin" / "python3"))
    monkeypatch.setattr(sys, "prefix", str(home / "repo" / ".venv"))
    for name in ("base_prefix", "base_exec_prefix"):
        monkeypatch.setattr(sys, name, str(home / "share" / "python" / "3.11"))
    assert set(interpreter_paths()) == {
        home / "repo" / ".venv",
        home / "share" / "python" / "3.11",
        home / "share" / "python" / "3.11.7",
        home / "bin" / "python3",
        installed,
    }


def test_a_cli_in_node_modules_brings_the_whole_folder(tmp_path: Path) -> None:
    modules = tmp_path / "cli" / "node_modules"
    real = modules / "pkg" / "node_modules" / "dep" / "tool.exe"
    real.parent.mkdir(parents=True)
    real.touch()
    (modules / ".bin").mkdir()
    (modules / ".bin" / "tool").symlink_to("../pkg/node_modules/dep/tool.exe")
    assert program_paths(modules / ".bin" / "tool")[0] == modules


def test_a_cli_elsewhere_brings_itself_and_its_link_targets(tmp_path: Path) -> None:
    for folder in ("bin", "share"):
        (tmp_path / folder).mkdir()
    (tmp_path / "share" / "tool-2.1").touch()
    (tmp_path / "bin" / "tool").symlink_to("../share/tool-2.1")
    found = program_paths(tmp_path / "bin" / "tool")
    assert found[:2] == (tmp_path / "bin" / "tool", tmp_path / "share" / "tool-2.1")
    assert tmp_path / "bin" not in found


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert set(program_paths(tmp_path / "a")[:2]) == {tmp_path / "a", tmp_path / "b"}
