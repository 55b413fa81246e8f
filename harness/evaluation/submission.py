"""Takes the submission out of the agent's directory. Every name there may be hostile: nothing is followed or run."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath

from msgspec import Struct

from harness.evaluation.program import PolicyEntry
from harness.untrusted.traps import is_git_directory, trap
from harness.untrusted.tree import open_file, open_folder
from harness.untrusted.words import kind, shown, size

REQUIRED = "approach.py"
_NOISE = frozenset({"__pycache__", "node_modules", "venv", "site-packages"})
_OFFERED = frozenset({"env_client.py", "environment_source"})
"""The links that the harness puts into a workspace (`harness.access`)."""
_CHUNK = 1 << 20


class Caps(Struct, frozen=True, kw_only=True):
    """How much of a directory is taken at most.

    These are the number of files, the bytes of each file and of all files, the depth of folders, the directory entries
    that are looked at, and the lines in `left_out`.
    """

    files: int = 200
    file_bytes: int = 8_000_000
    total_bytes: int = 32_000_000
    depth: int = 8
    entries: int = 20_000
    left_out: int = 50


DEFAULT_CAPS = Caps()

GIVEN_CAPS = Caps(files=5_000, file_bytes=64_000_000, total_bytes=256_000_000, depth=16, entries=50_000)
"""The caps for what a person gives to be graded, such as a package with all its modules."""


class Submission(Struct, frozen=True, kw_only=True):
    """What the agent left behind, as copied to `path`.

    `files` maps each relative name to the SHA-256 of its content. `digest` covers all names and contents. `left_out`
    says what was not taken and why. `reason` says why there is no submission at all; it is `None` if there is one.
    `entry` says where its policy is.
    """

    path: Path
    files: dict[str, str]
    digest: str
    left_out: tuple[str, ...]
    reason: str | None
    entry: PolicyEntry = PolicyEntry()


class _LeftOut(Exception):
    """An entry is not taken. The message says why."""


def collect(
    workspace: Path,
    destination: Path,
    caps: Caps = DEFAULT_CAPS,
    folder: str = ".",
    *,
    part: str = ".",
    required: str = REQUIRED,
) -> Submission:
    """Copy the regular files of `workspace`/`folder` to `destination`, which is made and must be empty.

    `part` limits this to one folder there. Names stay relative to `folder`. Without the file `required`, there is no
    submission.

    Only regular files are read, through directory descriptors and without following links, so this is safe even while
    the agent is running. These are left out: links, devices, FIFOs and sockets; hard links to a file of another owner,
    because the agent may not have been able to read that file; hidden files and folders, git directories, and whatever
    else a program on the host reads or runs by itself (`harness.untrusted.traps`); caches; whatever exceeds the caps.
    Raise `ValueError` if the destination is inside the workspace or not empty, and `OSError` if it cannot be written.
    """
    if destination.resolve().is_relative_to((workspace / part).resolve()):
        raise ValueError(f"{destination} lies in the agent's own workspace {workspace}: choose a folder outside")
    destination.mkdir(mode=0o755, parents=True, exist_ok=True)
    if any(destination.iterdir()):
        raise ValueError(f"{destination} is not empty: choose a new folder")
    copier = _Copier(destination, caps)
    reason = copier.walk(workspace, folder, part=part, required=required)
    return Submission(
        path=destination,
        files={name: copier.files[name] for name in sorted(copier.files)},
        digest=digest_of(copier.files),
        left_out=copier.notes(),
        reason=reason,
    )


def digest_of(files: Mapping[str, str]) -> str:
    """Return the digest of a submission: a SHA-256 of all names and of the SHA-256 of each content."""
    return hashlib.sha256("".join(f"{files[name]}  {name}\n" for name in sorted(files)).encode()).hexdigest()


def survey(workspace: Path, caps: Caps = DEFAULT_CAPS) -> Mapping[str, str]:
    """Return a mark for each file that `collect` would take. It is empty if there is no submission.

    The mark of a file differs once its content has changed. No file is read.
    """
    surveyor = _Surveyor(Path(), caps)
    return surveyor.files if surveyor.walk(workspace) is None else {}


def read_files(workspace: Path, caps: Caps = DEFAULT_CAPS) -> Mapping[str, bytes]:
    """Return the content of each file that `collect` would take. It is empty if there is no submission."""
    reader = _Reader(Path(), caps)
    return reader.contents if reader.walk(workspace) is None else {}


class _Copier:
    """The copy in progress: what was taken, what was left out, and how much of the caps is used."""

    def __init__(self, destination: Path, caps: Caps) -> None:
        self.destination = destination
        self.caps = caps
        self.owner = -1
        self.files: dict[str, str] = {}
        self._bytes = 0
        self._looked_at = 0
        self._left_out: list[str] = []
        self._more = 0

    def walk(self, workspace: Path, folder: str = ".", *, part: str = ".", required: str = REQUIRED) -> str | None:
        """Take what lies in a part of a folder of the workspace. Return why there is no submission, or `None`."""
        try:
            with _opened_below(workspace, folder, self.caps.depth) as top:
                self.owner = os.fstat(top).st_uid
                needed = PurePosixPath(required)
                with _opened_below(workspace, str(PurePosixPath(folder) / needed.parent), self.caps.depth) as place:
                    self.file(place, needed)
                if part == ".":
                    self.folder(top, PurePosixPath())
                else:
                    self.enter(top, PurePosixPath(part))
        except _LeftOut as error:
            return f"no submission: {error}"
        return None

    def notes(self) -> tuple[str, ...]:
        """Return what was left out, one line each. A last line counts what exceeds the cap on lines."""
        return (*self._left_out, f"… and {self._more} more") if self._more else tuple(self._left_out)

    def folder(self, directory: int, path: PurePosixPath) -> None:
        """Copy everything below an open directory: first its files, then its folders, each sorted by name.

        Raise `_LeftOut` if it cannot be listed, or if it is a git directory.
        """
        entries = self._entries(directory, path)
        if is_git_directory({name for _, name in entries}) and path.parts:
            raise _LeftOut(f"{shown(path)} is a git directory")
        for is_folder, name in entries:
            where = path / name
            if not is_folder and str(where) in _OFFERED and stat.S_ISLNK(_mode(directory, name)):
                continue
            try:
                if is_folder:
                    self.enter(directory, where)
                elif str(where) not in self.files:
                    self.file(directory, where)
            except _LeftOut as error:
                self._note(str(error))

    def file(self, directory: int, where: PurePosixPath) -> None:
        """Copy one file of an open directory. Raise `_LeftOut` if it is not taken."""
        label = shown(where)
        _check_name(where, label)
        if len(self.files) >= self.caps.files:
            raise _LeftOut(f"{label} is over the cap of {self.caps.files} files")
        try:
            _check_kind(os.stat(where.name, dir_fd=directory, follow_symlinks=False), label, self.owner)
        except OSError as error:
            raise _LeftOut(f"{label} {_cause(error)}") from error
        with _opened(where.name, open_file, directory, label) as source:
            status = os.fstat(source)
            _check_kind(status, label, self.owner)
            if status.st_size > self.caps.file_bytes:
                raise _LeftOut(f"{label} is {size(status.st_size)}, over the cap of {size(self.caps.file_bytes)}")
            if self._bytes + status.st_size > self.caps.total_bytes:
                raise _LeftOut(f"{label} would bring the total over the cap of {size(self.caps.total_bytes)}")
            self.files[str(where)] = self._take(source, where, status.st_size)
            self._bytes += status.st_size

    def _take(self, source: int, where: PurePosixPath, size: int) -> str:
        """Copy at most `size` bytes, even if the file grows. Return their SHA-256."""
        target = self.destination / where
        for parent in reversed(where.parents[:-1]):
            (self.destination / parent).mkdir(mode=0o755, exist_ok=True)
            (self.destination / parent).chmod(0o755)
        content = hashlib.sha256()
        with target.open("xb") as copy:
            os.fchmod(copy.fileno(), 0o644)
            while size > 0 and (chunk := os.read(source, min(size, _CHUNK))):
                copy.write(chunk)
                content.update(chunk)
                size -= len(chunk)
        return content.hexdigest()

    def _entries(self, directory: int, path: PurePosixPath) -> list[tuple[bool, str]]:
        """Return (is a folder, name) for each entry of an open directory, sorted, up to the cap on entries."""
        room = self.caps.entries - self._looked_at
        try:
            with os.scandir(directory) as entries:
                listed = [(entry.is_dir(follow_symlinks=False), entry.name) for entry in islice(entries, room + 1)]
        except OSError as error:
            raise _LeftOut(f"{shown(path)} {_cause(error)}") from error
        self._looked_at += len(listed)
        if len(listed) > room:
            self._note(f"{shown(path)} has more entries: the cap is {self.caps.entries} entries in all")
        return sorted(listed[:room])

    def enter(self, directory: int, where: PurePosixPath) -> None:
        """Copy a folder of an open directory. Raise `_LeftOut` if it is not part of a submission."""
        label = shown(where)
        if where.name.startswith(".") or where.name in _NOISE:
            raise _LeftOut(f"{label} is a hidden folder or a cache")
        _check_name(where, label, is_folder=True)
        if len(where.parts) > self.caps.depth:
            raise _LeftOut(f"{label} is nested more than {self.caps.depth} folders deep")
        with _opened(where.name, open_folder, directory, label) as inner:
            self.folder(inner, where)

    def _note(self, line: str) -> None:
        if len(self._left_out) < self.caps.left_out:
            self._left_out.append(line)
        else:
            self._more += 1


class _Surveyor(_Copier):
    """Notes what a submission would hold, and reads nothing."""

    def _take(self, source: int, where: PurePosixPath, size: int) -> str:  # noqa: ARG002 - as in the class above
        status = os.fstat(source)
        return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


class _Reader(_Copier):
    """Reads what a submission would hold, and copies nothing."""

    def __init__(self, destination: Path, caps: Caps) -> None:
        super().__init__(destination, caps)
        self.contents: dict[str, bytes] = {}

    def _take(self, source: int, where: PurePosixPath, size: int) -> str:
        pieces = []
        while size > 0 and (piece := os.read(source, min(size, _CHUNK))):
            pieces.append(piece)
            size -= len(piece)
        content = self.contents[str(where)] = b"".join(pieces)
        return hashlib.sha256(content).hexdigest()


@contextmanager
def _opened(name: str | Path, opener: Callable[..., int], directory: int | None, label: str) -> Iterator[int]:
    """Open a name in an open directory and yield its descriptor. Raise `_LeftOut` if it cannot be opened."""
    try:
        descriptor = opener(name, directory)
    except (OSError, ValueError) as error:
        raise _LeftOut(f"{label} {_cause(error)}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened_below(workspace: Path, folder: str, depth: int) -> Iterator[int]:
    """Open `workspace`/`folder` name by name, so that no link is followed, and yield its descriptor.

    Raise `_LeftOut` if it cannot be opened.
    """
    path = PurePosixPath(folder)
    label = shown(path)
    if path.is_absolute() or ".." in path.parts:
        raise _LeftOut(f"{label} is not a folder below the workspace")
    if len(path.parts) > depth:
        raise _LeftOut(f"the folder is nested more than {depth} folders deep")
    with ExitStack() as opened:
        current = opened.enter_context(_opened(workspace, open_folder, None, "the workspace"))
        for name in path.parts:
            current = opened.enter_context(_opened(name, open_folder, current, label))
        yield current


def _check_name(where: PurePosixPath, label: str, *, is_folder: bool = False) -> None:
    """Raise `_LeftOut` if nothing of this name may be taken."""
    if not where.name.isprintable():
        raise _LeftOut(f"{label} has unprintable characters in its name")
    if where.name.startswith("."):
        raise _LeftOut(f"{label} is a hidden file")
    tool = trap(where.name, is_folder=is_folder)
    if tool is not None:
        raise _LeftOut(f"{label} has a name that {tool} reads or runs by itself")


def _mode(directory: int, name: str) -> int:
    """Return the mode of an entry, or 0 if it is gone."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except OSError:
        return 0


def _check_kind(status: os.stat_result, label: str, owner: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _LeftOut(f"{label} is {kind(status.st_mode)}")
    if status.st_nlink > 1 and status.st_uid != owner:
        raise _LeftOut(f"{label} is a hard link to a file of another owner")


_CAUSES = {
    errno.ENOENT: "is missing",
    errno.ELOOP: "is a symlink",
    errno.ENOTDIR: "is not a folder",
    errno.EACCES: "is not readable",
    errno.EPERM: "is not readable",
}


def _cause(error: OSError | ValueError) -> str:
    """Return why an entry could not be opened. A `ValueError` means that its name contains a NUL."""
    if isinstance(error, OSError):
        return _CAUSES.get(error.errno or 0, f"cannot be opened ({error.strerror})")
    return "is not a valid file name"
