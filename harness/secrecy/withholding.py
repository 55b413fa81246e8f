"""Withholds the files of a case that hold a secret, before they are kept."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import Final

from msgspec import Struct

from harness.secrecy.hiding import hide
from harness.secrecy.scan import scan
from harness.secrecy.spellings import spellings
from harness.untrusted.tree import CHANGE, open_file, open_folder

DEEPEST: Final = 64
"""How many folders deep the files of a case are looked at."""
MOST_FILES: Final = 20_000
MOST_BYTES: Final = 512 << 20
"""How many files and bytes of a case are looked at."""


class Withheld(Struct, frozen=True):
    """A file that is not kept, and why: what it holds, or why it could not be looked at."""

    name: str
    why: str

    @property
    def told(self) -> str:
        """The warning in the case's record. It names the file and never the secret."""
        name = self.name if self.name.isprintable() else ascii(self.name)
        return f"{name} is withheld: {self.why}"


def withhold(folder: Path, secrets: Mapping[str, str]) -> list[Withheld]:
    """Remove each file below a case's folder that holds a secret, and return them.

    Links are not followed. No process of the session may be running. A file that cannot be looked at is removed too,
    since nobody knows what it holds.
    """
    if not folder.is_dir():
        return []
    here = open_folder(folder, rights=CHANGE)
    try:
        return list(_Looking(secrets).folder(here, PurePosixPath()))
    finally:
        os.close(here)


def hidden(data: bytes, secrets: Mapping[str, str]) -> bytes:
    """Return a text without the secrets. JSON stays JSON."""
    return hide(data, [way for secret in secrets.values() for way in spellings(secret)])


_TOLD: Final = 20


def warnings(found: Sequence[Withheld]) -> list[str]:
    """Return the warnings of what is withheld. If it is much, the last one counts the rest."""
    told = [one.told for one in found[:_TOLD]]
    return told + ([f"{len(found) - _TOLD} more files are withheld"] if len(found) > _TOLD else [])


class _Looking:
    """A look at the files of one case."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets
        self._files = 0
        self._bytes = 0

    def folder(self, folder: int, path: PurePosixPath) -> Iterator[Withheld]:
        """Look at everything below an open folder. Yield what is withheld."""
        with os.scandir(folder) as entries:
            listed = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        for name, status in sorted(listed):
            if found := scan(io.BytesIO(os.fsencode(name)), self._secrets):
                new = _renamed(folder, name)
                yield Withheld(str(path / new), f"its name held {' and '.join(found)}")
                if not stat.S_ISDIR(status.st_mode):
                    os.unlink(new, dir_fd=folder)
                    continue
            else:
                new = name
            where = path / new
            if stat.S_ISDIR(status.st_mode):
                yield from self._inner(folder, new, where)
            elif stat.S_ISREG(status.st_mode) and (why := self._why(folder, new, status)):
                with suppress(FileNotFoundError):
                    os.unlink(new, dir_fd=folder)
                yield Withheld(str(where), why)

    def _inner(self, folder: int, name: str, where: PurePosixPath) -> Iterator[Withheld]:
        if len(where.parts) > DEEPEST:
            return  # an archive does not hold it either
        inner = open_folder(name, folder, rights=CHANGE)
        try:
            yield from self.folder(inner, where)
        finally:
            os.close(inner)

    def _why(self, folder: int, name: str, status: os.stat_result) -> str | None:
        """Return why a file is withheld, or None if it is not."""
        self._files += 1
        self._bytes += status.st_size
        if self._files > MOST_FILES or self._bytes > MOST_BYTES:
            return f"only {MOST_FILES} files and {MOST_BYTES >> 20} MB of a case are searched for keys"
        try:
            with os.fdopen(open_file(name, folder), "rb", buffering=0) as file:
                found = scan(file, self._secrets)
        except OSError as error:
            return f"it cannot be searched for keys: {error.strerror}"
        return f"it holds {' and '.join(found)}" if found else None


def _renamed(folder: int, name: str) -> str:
    """Give an entry of an open folder another name, and return it."""
    new = f"withheld-{token_hex(4)}"
    os.rename(name, new, src_dir_fd=folder, dst_dir_fd=folder)
    return new
