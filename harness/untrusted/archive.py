"""Packs a folder that an agent could write to into an archive, with a listing that a person can read beside it.

As plain files, such a folder would be a trap: `git status` in it runs what its `.git` says, `pytest` its `conftest.py`.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO

from msgspec import Struct

from harness.untrusted.removal import discard
from harness.untrusted.tree import open_file, open_folder
from harness.untrusted.words import kind, shown, size

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LEVEL = 3
_LATEST = 1 << 33


class PackCaps(Struct, frozen=True, kw_only=True):
    """How much of a folder is packed at most.

    These are the bytes of each file, those of all files and names together, the entries, the depth of folders, and the
    seconds that it may take.
    """

    file_bytes: int = 100_000_000
    total_bytes: int = 500_000_000
    entries: int = 50_000
    depth: int = 64
    seconds: float = 20.0


DEFAULT_PACK_CAPS = PackCaps()

Search = Callable[[IO[bytes]], Sequence[str]]
"""Says what a file holds that must not be kept, in words. It reads the open file."""


def search_nothing(_: IO[bytes]) -> Sequence[str]:
    """Search for nothing: the files have been searched already."""
    return ()


def archive_of(folder: Path) -> Path:
    """Return the path of the archive that holds a folder."""
    return folder.with_name(f"{folder.name}.tar.gz")


def listing_of(folder: Path) -> Path:
    """Return the path of the listing of a folder's archive."""
    return folder.with_name(f"{folder.name}.txt")


def keep(folder: Path, search: Search = search_nothing) -> None:
    """Replace a folder by its archive and the archive's listing. If it is empty, remove it. It may be missing.

    Files in which `search` finds something are not kept. No process may still be writing there. Raise `OSError` if the
    archive cannot be written; then the folder stays.
    """
    with suppress(OSError):
        folder.rmdir()
    if not os.path.lexists(folder):
        return
    if folder.is_dir() and not folder.is_symlink():
        pack(folder, folder.parent, search=search)
    discard(folder)


def pack(folder: Path, into: Path, caps: PackCaps = DEFAULT_PACK_CAPS, *, search: Search = search_nothing) -> None:
    """Write the archive and the listing of `folder` to the folder `into`, each in one step.

    Only regular files and folders are stored, with plain modes: no links, devices, FIFOs or sockets, and no setuid
    bits. A file with several names is stored under the first. A file in which `search` finds something is not stored.
    The listing names everything, and says what is not stored and why. Raise `OSError` if the archive cannot be written.
    """
    archive, listing = (path(into / folder.name) for path in (archive_of, listing_of))
    with _in_one_step(archive) as file, tarfile.open(
        fileobj=file, mode="w:gz", compresslevel=_LEVEL, format=tarfile.GNU_FORMAT, errors="surrogateescape"
    ) as tar:  # fmt: skip
        packer = _Packer(tar, caps, search)
        packer.all(folder)
    with _in_one_step(listing) as file:
        file.write("".join(f"{line}\n" for line in [*_heading(folder.name), *packer.lines]).encode())


def _heading(name: str) -> list[str]:
    return [
        f"# What an agent left in its folder {name}. {name}.tar.gz holds it. To look at one file, or to unpack all:",
        f"#   tar -xzOf {name}.tar.gz {name}/FILE | less",
        f"#   mkdir /tmp/look && tar -xzf {name}.tar.gz -C /tmp/look",
        "# Nobody has checked these files. Do not run git, make, pytest or Python in that folder, and open no IDE.",
    ]


@contextmanager
def _in_one_step(path: Path) -> Iterator[io.BufferedWriter]:
    """Open a new file that takes the name `path` when it is complete."""
    part = path.with_name(f".{path.name}.new")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, _NEW, 0o600), "wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class _CapReached(Exception):
    """Nothing more is packed. The message says which cap is reached."""


class _Unreadable(Exception):
    """An entry cannot be read. The message says why."""


@contextmanager
def _reading() -> Iterator[None]:
    """Raise `_Unreadable` for an `OSError`. An error of writing, such as a full disk, is none of the agent's making."""
    try:
        yield
    except OSError as error:
        raise _Unreadable(error.strerror) from error


class _Packer:
    """The archive in progress, and the lines of its listing."""

    def __init__(self, tar: tarfile.TarFile, caps: PackCaps, search: Search) -> None:
        self.lines: list[str] = []
        self._tar = tar
        self._caps = caps
        self._search = search
        self._deadline = time.monotonic() + caps.seconds
        self._entries = 0
        self._bytes = 0
        self._names: dict[tuple[int, int], PurePosixPath] = {}
        self._owner = -1

    def all(self, folder: Path) -> None:
        """Pack a folder and everything in it, as far as the caps allow."""
        try:
            with _reading():
                top = open_folder(folder)
        except _Unreadable as why:
            self.lines.append(f"# {folder.name} cannot be read: {why}")
            return
        try:
            status = os.fstat(top)
            self._owner = status.st_uid
            self._folder(top, PurePosixPath(folder.name), status)
        except _CapReached as reached:
            self.lines.append(f"# There is more, which is not stored: {reached}.")
        finally:
            os.close(top)

    def _folder(self, folder: int, path: PurePosixPath, status: os.stat_result) -> None:
        """Pack an open folder: first its files, then its folders, each sorted by name."""
        self._line(path, status)
        self._tar.addfile(_member(path, status, tarfile.DIRTYPE))
        for name in self._listed(folder):
            self._count(path / name)
            if found := self._search(io.BytesIO(os.fsencode(name))):
                self.lines.append(f"# One name in {_quoted(path)} holds {' and '.join(found)}. It is not stored.")
                continue
            try:
                self._entry(folder, path / name)
            except _Unreadable as why:
                self.lines.append(f"{'?':10} {'?':>12} {'?':16}  {_quoted(path / name)}  (not stored: {why})")

    def _listed(self, folder: int) -> list[str]:
        """Return the names in an open folder. Of a folder with too many, return one more than the cap allows."""
        room = self._caps.entries - self._entries
        with _reading(), os.scandir(folder) as entries:
            found = [(entry.is_dir(follow_symlinks=False), entry.name) for entry in islice(entries, room + 1)]
        return [name for _is_folder, name in sorted(found)]

    def _count(self, path: PurePosixPath) -> None:
        """Count one more entry. Raise `_CapReached` if there may be no more."""
        self._entries += 1
        self._bytes += tarfile.BLOCKSIZE + len(os.fsencode(path))
        if self._entries > self._caps.entries:
            raise _CapReached(f"the cap is {self._caps.entries} entries")
        if self._bytes > self._caps.total_bytes:
            raise _CapReached(f"the cap is {size(self._caps.total_bytes)} in all")
        if time.monotonic() > self._deadline:
            raise _CapReached(f"the cap is {self._caps.seconds:g} s")

    def _entry(self, folder: int, path: PurePosixPath) -> None:
        with _reading():
            status = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            self._file(folder, path, status)
        elif len(path.parts) > self._caps.depth:
            self._line(path, status, f"nested more than {self._caps.depth} folders deep")
        else:
            with _reading():
                inner = open_folder(path.name, folder)
            try:
                self._folder(inner, path, status)
            finally:
                os.close(inner)

    def _file(self, folder: int, path: PurePosixPath, status: os.stat_result) -> None:
        why = self._refusal(folder, path, status) or self._stored(folder, path, status)
        self._line(path, status, why)

    def _stored(self, folder: int, path: PurePosixPath, status: os.stat_result) -> str | None:
        """Store a file, and return `None`. If it holds what must not be kept, return what that is instead."""
        with _reading():
            file = os.fdopen(open_file(path.name, folder), "rb", buffering=0)
        with file:
            if not os.path.samestat(os.fstat(file.fileno()), status):
                raise _Unreadable("it was replaced")
            with _reading():
                found = self._search(file)
                file.seek(0)
            if found:
                return f"it holds {' and '.join(found)}"
            self._tar.addfile(_member(path, status, tarfile.REGTYPE), _FileContent(file.fileno(), status.st_size))
        self._bytes += status.st_size
        self._names[status.st_dev, status.st_ino] = path
        return None

    def _refusal(self, folder: int, path: PurePosixPath, status: os.stat_result) -> str | None:
        """Return why a file is not stored, or `None` if it is."""
        if stat.S_ISLNK(status.st_mode):
            with _reading():
                return f"a symlink to {_quoted(os.readlink(path.name, dir_fd=folder))}"
        if not stat.S_ISREG(status.st_mode):
            return kind(status.st_mode)
        first = self._names.get((status.st_dev, status.st_ino))
        cap = self._caps.file_bytes if status.st_size > self._caps.file_bytes else self._caps.total_bytes
        refusals = (
            ("a hard link to a file of another owner", status.st_nlink > 1 and status.st_uid != self._owner),
            (f"the same file as {_quoted(first or '')}", first is not None),
            (f"over the cap of {size(cap)}", status.st_size > cap or self._bytes + status.st_size > cap),
        )
        return next((why for why, applies in refusals if applies), None)

    def _line(self, path: PurePosixPath, status: os.stat_result, why: str | None = None) -> None:
        """Add the line of an entry to the listing."""
        when = datetime.fromtimestamp(_time(status), UTC)
        note = f"  (not stored: {why})" if why else ""
        mode = stat.filemode(status.st_mode)
        self.lines.append(f"{mode} {status.st_size:>12} {when:%Y-%m-%d %H:%M}  {_quoted(path)}{note}")


class _FileContent:
    """Exactly `size` bytes of an open file. Zeros stand for what cannot be read."""

    def __init__(self, file: int, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, most: int = -1, /) -> bytes:
        """Return at most this many bytes, or all that are left."""
        wanted = self._left if most < 0 else min(most, self._left)
        try:
            found = os.read(self._file, wanted)
        except OSError:
            found = b""
        self._left -= len(found) or wanted
        return found or bytes(wanted)


def _member(path: PurePosixPath, status: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    """Return the member of an archive. Its mode has no special bits, and its owner is whoever unpacks it."""
    member = tarfile.TarInfo(str(path))
    member.type = kind
    member.size = status.st_size if kind == tarfile.REGTYPE else 0
    member.mode = 0o755 if kind == tarfile.DIRTYPE or status.st_mode & stat.S_IXUSR else 0o644
    member.mtime = _time(status)
    return member


def _time(status: os.stat_result) -> int:
    """Return when the entry was changed. An agent may have set any time, and not every program can read it."""
    return min(max(int(status.st_mtime), 0), _LATEST)


def _quoted(name: PurePosixPath | str) -> str:
    """Return a name that is safe to print, and that cannot be mistaken for two, or for a note."""
    safe = shown(name)
    plain = safe == str(name) and not set(safe) & set(" '\"()")
    return safe if plain or safe != str(name) else repr(safe)
