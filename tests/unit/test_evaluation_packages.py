"""The versions of installed packages are those that Python itself tells."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from harness.evaluation.packages import installed_packages


def test_the_versions_are_those_that_python_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "door_lib": "Metadata-Version: 2.1\nName: Door_Lib\nVersion: 1.2\n\nName: other\nVersion: 9\n",
        "windows": "Metadata-Version: 2.1\r\nVersion: 3\r\nName: windows\r\n\r\nRead me.\r\n",
        "broken": "Summary: it has neither\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}-0.dist-info").mkdir()
        (tmp_path / f"{name}-0.dist-info" / "METADATA").write_bytes(text.encode())
    monkeypatch.syspath_prepend(str(tmp_path))
    installed_packages.cache_clear()
    found = installed_packages()
    installed_packages.cache_clear()
    assert (found["Door_Lib"], found["windows"]) == ("1.2", "3")
    assert {"other", "broken"}.isdisjoint(found)
    assert {name: version(name) for name in found} == found
    assert list(found) == sorted(found, key=str.lower)
