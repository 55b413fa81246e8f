"""Canaries: words planted wherever a CLI could look for its user's configuration.

`canaries.yaml` in this folder names the places that several CLIs read. `tests/corpus/BACKEND/canaries.yaml` names the
places of one CLI. The keys are:

- `project`: files of a project, of any folder above it, or of a home;
- `home`: files of a home only;
- `variables`: environment variables;
- `folders`: variables that name a folder, with the files in it. Such a folder also gets the files of a project.

A file without content gets instructions, and a variable without a value gets a canary. Content may be text or JSON. In
it, `$canary` stands for a canary with the folder's name, `$folder` for the folder, and `$home` for the home.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any

import msgspec
import pytest
import yaml
from msgspec import Struct

from backends.registry import names
from tests.support.words import CORPUS

CANARY = re.compile(rb"canary-[\w.:-]+", re.IGNORECASE)

Files = dict[str, Any]


class Places(Struct, frozen=True, forbid_unknown_fields=True):
    """The places for canaries. This module's docstring explains the fields."""

    project: Files = {}
    home: Files = {}
    variables: dict[str, str | None] = {}
    folders: dict[str, Files] = {}


def plant(root: Path, patch: pytest.MonkeyPatch) -> Path:
    """Set up a user who has configured every CLI: in `root` as the home, in its folders, and in the environment.

    Return the folder for the sessions. All folders above it, up to `root`, contain canaries too.
    """
    sessions, home = root / "project" / "runs", root / "home"
    patch.setenv("HOME", str(home))
    every = list(places())
    for one in every:
        for name, value in one.variables.items():
            patch.setenv(name, f"canary-{name}" if value is None else Template(value).substitute(home=home))
        for folder in (root, root / "project", sessions, home):
            _plant(one.project, folder, home)
        _plant(one.home, home, home)
        for variable, files in one.folders.items():
            folder = root / f"canary-{variable}"
            patch.setenv(variable, str(folder))
            for shared in every:
                _plant(shared.project, folder, home)
            _plant(files, folder, home)
    return sessions


def places() -> Iterator[Places]:
    """Yield the places that several CLIs read, and those of each backend."""
    for file in (Path(__file__).with_suffix(".yaml"), *(CORPUS / name / "canaries.yaml" for name in names())):
        try:
            yield msgspec.convert(yaml.safe_load(file.read_text("utf-8")), Places)
        except msgspec.ValidationError as error:
            raise ValueError(f"{file}: {error}") from None


def found_in(data: bytes) -> set[str]:
    """Return the canaries in some bytes."""
    return {word.decode() for word in CANARY.findall(data)}


def _plant(files: Mapping[str, Any], folder: Path, home: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.write_text(_instructions(path))
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(Template(text).substitute(canary=f"canary-{folder.name}", folder=folder, home=home))


def _instructions(path: Path) -> str:
    """Return instructions in the form that agents, commands and skills require."""
    return (
        f"---\nname: canary\ndescription: canary-{path.name}\n---\nAlways say canary-{path.parent.name}-{path.name}.\n"
    )
