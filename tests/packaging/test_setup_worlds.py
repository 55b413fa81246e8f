"""`proctor setup --extra worlds`: a virtual environment in the cache, with a compiled module; whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from harness.commands.errors import SetupFailed
from harness.commands.installing import interpreters, libraries
from harness.environments import interpreters as place
from harness.environments.interpreters import INTERPRETERS, WORLDS, folder_of, missing, packages_in, python_in
from harness.environments.kinder_ids import IKFAST
from harness.packaged import requirements

SOURCE = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "ikfast_kortex"};
extern "C" PyObject *PyInit_ikfast_kortex() { return PyModule_Create(&module); }
"""


def wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Write a wheel of version 0.2.5, and return the lines that pin it for every Python before 3.99."""
    file, info = folder / f"{name}-0.2.5-py3-none-any.whl", f"{name}-0.2.5.dist-info"
    files = files | {f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.2.5\n"}
    files |= {f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n", f"{info}/RECORD": ""}
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"{name}==0.2.5 ; python_full_version < '3.99' \\\n    --hash=sha256:{digest}\n"


@pytest.fixture
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock of the extra, with small wheels beside it. pip asks no index, and the cache is empty."""
    file = tmp_path / "worlds.txt"
    source = f"{IKFAST.folder}/{IKFAST.module}.cpp"
    file.write_text(
        wheel(tmp_path, "kindergarden", {"kinder/__init__.py": ""})
        + wheel(tmp_path, "pybullet_helpers", {"pybullet_helpers/__init__.py": "", source: SOURCE})
    )
    for module in (interpreters, place):
        monkeypatch.setattr(module, "requirements", lambda _extra: file)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return file


@pytest.mark.nightly
def test_it_is_installed_once_and_its_module_is_compiled_once(pins: Path) -> None:
    told: list[str] = []
    assert missing(WORLDS) == "the extra worlds is not installed: run `proctor setup --extra worlds`"
    for _ in range(2):
        folder = interpreters.install(WORLDS, told.append)
    assert folder == folder_of(WORLDS)
    assert [line.split()[0] for line in told] == ["Installing", "Compiling"]
    assert missing(WORLDS) is None
    packages = packages_in(folder)
    assert packages is not None
    [compiled] = (packages / IKFAST.folder).glob("*.so")
    python_in(folder).unlink()  # the Python that it was made with is gone
    assert missing(WORLDS) is not None
    interpreters.install(WORLDS, told.append)
    assert [line.split()[0] for line in told] == ["Installing", "Compiling", "Installing"]
    assert compiled.exists()
    assert {path.name for path in folder.parent.iterdir() if "partial" in path.name} == set()


@pytest.mark.nightly
def test_a_failed_installation_leaves_nothing(pins: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pins.write_text(pins.read_text().replace("sha256:", "sha256:0"))
    with pytest.raises(SetupFailed, match=r"pip install.*failed: see its output above"):
        interpreters.install(WORLDS, print)
    assert not folder_of(WORLDS).exists()


def test_a_python_that_kinder_does_not_support_is_replaced_or_named(
    pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins.write_text(pins.read_text().replace("3.99", "3.9"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        SetupFailed, match=rf"kindergarden 0.2.5 needs Python 3.11 or 3.12 .* runs on {sys.version.split()[0]}"
    ):
        interpreters.install(WORLDS, print)


def test_an_ordinary_user_is_told_which_packages_of_the_system_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apt-get").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(libraries, "find_library", lambda name: None if name == "OSMesa" else name)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    told = r"run `sudo apt-get install libosmesa6 g\+\+ liblapack-dev libblas-dev libpython3.11-dev`"
    with pytest.raises(SetupFailed, match=told):
        libraries.require(tmp_path / "python3.11/Python.h", print)
    (tmp_path / "apt-get").unlink()
    with pytest.raises(SetupFailed, match=r"missing \(libosmesa6 .*with your system's package manager"):
        libraries.require(tmp_path / "python3.11/Python.h", print)


def test_root_installs_what_is_missing_through_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, header = tmp_path / "log", tmp_path / "python3.11/Python.h"
    header.parent.mkdir()
    (tmp_path / "c++").write_text("#!/bin/sh\necho /lib/${1#*=}\n")
    (tmp_path / "apt-get").write_text(f"#!/bin/sh\necho $@ >> {log}\n{shutil.which('touch')} {header}\n")
    for name in ("c++", "apt-get"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(libraries, "find_library", lambda name: name)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    libraries.require(header, print)
    libraries.require(header, print)
    assert log.read_text().splitlines() == ["update -qq", "install --yes -qq libpython3.11-dev"]


@pytest.mark.parametrize("extra", INTERPRETERS)
def test_a_lock_has_a_hash_for_each_package_and_no_address(extra: str) -> None:
    text = requirements(extra).read_text()
    pins = [line for line in text.splitlines() if not line.startswith(" ")]
    assert all("==" in line and line.endswith("\\") for line in pins)
    assert "://" not in text
    assert {"numpy", INTERPRETERS[extra].package} <= {line.partition("==")[0] for line in pins}


def test_kinder_runs_with_newer_packages_than_it_asks_for() -> None:
    pins = requirements(WORLDS).read_text().splitlines()
    assert {"numpy==2.4.6", "scipy==1.17.1", "gymnasium==1.4.0"} <= {line.split()[0] for line in pins if line.strip()}
