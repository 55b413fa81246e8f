"""Canaries: words planted wherever a CLI would look for the configuration of whoever runs the harness.

`canaries.yaml` here names the places that several CLIs read, `tests/corpus/BACKEND/canaries.yaml` those of one. The
keys are:

- `project`: files of a project, of any folder above it, or of a home;
- `home`: files of a home alone;
- `variables`: the environment;
- `folders`: variables that name a folder, with the files in it. Such a folder has the files of a project, too.

A file without content holds instructions, a variable without a value holds a canary. Content may be text or JSON.
`$canary` in it is a canary with the folder's name, `$folder` is the folder, `$home` is the home.
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
    """Where canaries are planted, as this module's docstring says."""

    project: Files = {}
    home: Files = {}
    variables: dict[str, str | None] = {}
    folders: dict[str, Files] = {}


def plant(root: Path, patch: pytest.MonkeyPatch) -> Path:
    """Make `root` the home, the parent folder and the environment of a user who has configured every CLI.

    Return the folder for the sessions. All the folders above it, up to `root`, hold canaries too.
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
    """Return instructions in the form that agents, commands and skills must have."""
    return (
        f"---\nname: canary\ndescription: canary-{path.name}\n---\nAlways say canary-{path.parent.name}-{path.name}.\n"
    )
