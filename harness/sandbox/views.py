"""Gives each box views of its own of the host's folders, so that boxes pass no signals by files that all may read.

The kernel keeps locks (`flock`, `fcntl`) and watches (inotify) for each inode. A view is a read-only overlay of a
folder. Its inodes are its own, and its contents are the folder's, also in memory.

The views are mounted before bwrap starts, in a mount namespace of its own. They lie below /sys, which no box shows.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from msgspec import Struct

_PLACE = "/sys"
_EMPTY = f"{_PLACE}/empty"
"""The kernel wants two folders for an overlay that nobody can write to."""
_TRIAL_S = 30.0
_DEVICES = Path("/dev")
_NODES = tuple(_DEVICES / name for name in ("null", "zero", "full", "random", "urandom", "tty"))
_PLAIN = re.compile(r"[\w./+@%~-]+", re.ASCII)
"""The paths that mean themselves, both in a table of mounts and in the options of an overlay."""
_SCRIPT = '"$0" -n -a -T /proc/self/fd/0 && exec "$@" </dev/null'
_ESCAPED = re.compile(r"\\([0-7]{3})")
_tried: dict[tuple[int, bool], bool] = {}
"""Whether a view could be made, by the device of the folder and whether root made it."""


class Views(Struct, frozen=True):
    """Options for bubblewrap that show views, the command to start bwrap with, and the text for its standard input.

    Without views, the command is empty.
    """

    options: tuple[str, ...]
    command: tuple[str, ...] = ()
    table: str = ""


def own_views(options: Sequence[str], shared: Iterable[str], *, as_root: bool) -> Views:
    """Return `options` with a view in the place of each path of the host that boxes share.

    These are what the options show read-only at the same path, and at the paths inside that are in `shared`. A path
    stays as it is if this machine cannot make a view of it. Root also gets views of the devices.
    """
    mounts = _mount_points()
    binds = _binds(options, frozenset(shared))
    system = {bind.source for bind in binds if str(bind.source) == bind.place}
    folders = _folders(_and_below(system, mounts), mounts)
    if as_root and mounts.isdisjoint(_NODES):
        folders.append(_DEVICES)
    others = _folders(_and_below({bind.source for bind in binds} - system, mounts), mounts)
    accepted = (*_accepted(tuple(map(str, folders)), as_root), *(str(one) for one in others if _usual(one, as_root)))
    if not accepted:
        return Views(tuple(options))
    roots = {Path(folder): place for folder, place in zip(accepted, _places(accepted), strict=True)}
    return Views(tuple(_with_views(options, binds, roots, mounts)), _command(as_root), _table(accepted))


class _Bind(Struct, frozen=True):
    """A `--ro-bind`: its index among the options, the path of the host without links, and the path inside."""

    index: int
    source: Path
    place: str


def _binds(options: Sequence[str], shared: frozenset[str]) -> list[_Bind]:
    """Return the binds of what boxes share."""
    found = []
    for index, word in enumerate(options):
        if word == "--ro-bind":
            source, place = options[index + 1 : index + 3]
            if source == place or place in shared:
                found.append(_Bind(index, Path(source).resolve(), place))
    return found


def _with_views(
    options: Sequence[str], binds: Iterable[_Bind], roots: dict[Path, str], mounts: frozenset[Path]
) -> Iterator[str]:
    done = 0
    for bind in binds:
        path, shown = bind.source, bind.place
        yield from options[done : bind.index]
        done = bind.index + 3
        view = _view(path, roots, mounts)
        yield from ("--ro-bind", view or options[bind.index + 1], shown)
        for mount in _below(path, mounts) if view else ():  # a view does not show what is mounted below its folder
            place = Path(shown, mount.relative_to(path))
            yield from ("--ro-bind", _view(mount, roots, mounts) or str(mount), str(place))
    yield from options[done:]


def _view(path: Path, roots: dict[Path, str], mounts: frozenset[Path]) -> str | None:
    """Return the place of a path's view, or `None` if the path has no view."""
    for root, place in roots.items():
        if _within(path, root, mounts):
            return str(Path(place, path.relative_to(root)))
    return None


def _folders(paths: Iterable[Path], mounts: frozenset[Path]) -> list[Path]:
    """Return the folders to make views of, so that each path is in one. An overlay needs a folder, also for a file."""
    folders: list[Path] = []
    for path in sorted(
        {path if path.is_dir() else path.parent for path in paths if path.is_dir() or path not in mounts}
    ):
        known = any(_within(path, folder, mounts) for folder in folders)
        if not known and path != Path("/") and _PLAIN.fullmatch(str(path)):
            folders.append(path)
    return folders


def _within(path: Path, folder: Path, mounts: frozenset[Path]) -> bool:
    """Return whether a path is in a folder, and in the same mount."""
    between = (path, *path.parents)
    return folder in between and mounts.isdisjoint(between[: between.index(folder)])


def _and_below(paths: Iterable[Path], mounts: frozenset[Path]) -> set[Path]:
    return {each for path in paths for each in (path, *_below(path, mounts))}


def _below(path: Path, mounts: frozenset[Path]) -> list[Path]:
    prefix = f"{path}/"
    return sorted(mount for mount in mounts if str(mount).startswith(prefix) and mount.exists())


def mounts_below(path: Path) -> list[Path]:
    """Return what is mounted below a path."""
    return _below(path, _mount_points())


def _mount_points() -> frozenset[Path]:
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    return frozenset(Path(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), line.split(" ")[4])) for line in lines)


@cache
def _accepted(folders: tuple[str, ...], as_root: bool) -> tuple[str, ...]:
    """Return the folders for which this machine can make views. Each set of folders is tried once."""
    if not folders or _works(folders, as_root):
        return folders
    return tuple(folder for folder in folders if _works((folder,), as_root))


def _usual(folder: Path, as_root: bool) -> bool:
    """Return whether this machine can make a view of a folder that only a few boxes show.

    Each file system is tried once, because these folders are many.
    """
    key = (folder.stat().st_dev, as_root)
    if key not in _tried:
        _tried[key] = _works((str(folder),), as_root)
    return _tried[key]


def _works(folders: Sequence[str], as_root: bool) -> bool:
    with tempfile.TemporaryFile() as table:  # `mount` reads a table from a file only
        table.write(_table(folders).encode())
        table.seek(0)
        try:
            tried = subprocess.run(
                [*_command(as_root), "/bin/true"],
                stdin=table,
                capture_output=True,
                env={},
                cwd="/",
                timeout=_TRIAL_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return tried.returncode == 0


def _command(as_root: bool) -> tuple[str, ...]:
    """Return the command that mounts what its standard input lists, and then runs what is appended to it."""
    unshare, mount, shell = (shutil.which(name) or name for name in ("unshare", "mount", "sh"))
    user = () if as_root else ("--user", "--map-root-user")
    return (unshare, *user, "--mount", "--propagation", "private", shell, "-c", _SCRIPT, mount)


def _table(folders: Sequence[str]) -> str:
    """Return the mounts, in the form of /etc/fstab. bwrap takes the devices from their usual places."""
    lines = [f"tmpfs {_PLACE} tmpfs mode=755", f"tmpfs {_EMPTY} tmpfs ro,X-mount.mkdir"]
    for folder, place in zip(folders, _places(folders), strict=True):
        lines.append(f"overlay {place} overlay ro,X-mount.mkdir,lowerdir={folder}:{_EMPTY}")
        if folder == str(_DEVICES):
            lines += (f"{place}/{node.name} {node} none bind" for node in _NODES if node.exists())
    return "".join(f"{line} 0 0\n" for line in lines)


def _places(folders: Sequence[str]) -> list[str]:
    """Return where each view is mounted."""
    return [f"{_PLACE}/{number}" for number in range(len(folders))]
