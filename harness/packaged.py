"""Finds the files that ship with Proctor, and its version, in a checkout, an editable install and a wheel.

In a checkout, `conf/` and `requirements/` are beside `harness`. In a wheel, they are inside it, so that
`site-packages` gets no folder named `conf`.
"""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import backends

_NAME = "proctor"
_HARNESS = Path(__file__).resolve().parent
_PYPROJECT = _HARNESS.parent / "pyproject.toml"


def packaged_conf() -> Path:
    """Return the folder of the configuration that Proctor ships: `config.yaml` and its groups."""
    return _shipped("conf")


def kept_from_agents() -> list[Path]:
    """Return the shipped folders that no agent may read, because they hold held-out numbers and solutions."""
    return [folder for folder in (packaged_conf(), _HARNESS / "policies") if folder.is_dir()]


def requirements(extra: str) -> Path:
    """Return the file of pinned requirements of an extra that `proctor setup` installs."""
    return _shipped("requirements") / f"{extra}.txt"


def cli_pins() -> Path:
    """Return the folder of the pinned CLIs. Each has a folder in it, named by its executable.

    For npm, that one holds `package.json` and `package-lock.json`; for pip, `requirements.txt`.
    """
    return Path(backends.__file__).resolve().parent / "cli"


def harness_version() -> str:
    """Return the version of Proctor.

    In a checkout, its `pyproject.toml` decides: the installed version may be older, or that of another checkout.
    """
    project = _own_project()
    return metadata.version(_NAME) if project is None else str(project["version"])


def checkout() -> Path | None:
    """Return the Git checkout that this Proctor runs from, or `None` if it was installed from a wheel."""
    root = _PYPROJECT.parent
    return root if _own_project() is not None and (root / ".git").exists() else None


def _own_project() -> dict[str, Any] | None:
    """Return the table `project` of Proctor's own `pyproject.toml`, or `None` outside a checkout."""
    if not _PYPROJECT.is_file():
        return None
    project: dict[str, Any] = tomllib.loads(_PYPROJECT.read_text()).get("project", {})
    return project if project.get("name") == _NAME else None


def _shipped(name: str) -> Path:
    inside = _HARNESS / name
    return inside if inside.is_dir() else _HARNESS.parent / name
