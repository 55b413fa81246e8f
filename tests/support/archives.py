"""Reads the archives that keep what an agent left."""

from __future__ import annotations

import tarfile
from pathlib import Path


def archived(archive: Path) -> dict[str, tarfile.TarInfo]:
    """Return the members of an archive by their names, without the name of its top folder."""
    with tarfile.open(archive, errors="surrogateescape") as tar:
        return {name.partition("/")[2]: tar.getmember(name) for name in tar.getnames()}


def content(archive: Path, name: str) -> bytes:
    """Return what a file in an archive holds. `name` leaves out the top folder."""
    with tarfile.open(archive, errors="surrogateescape") as tar:
        file = tar.extractfile(f"{archive.name.partition('.')[0]}/{name}")
        assert file is not None, name
        return file.read()
