"""The file system of a box for a container engine: mount points in folders of its own, and what to mount on them.

`harness.sandbox.filesystem` describes a file system step by step, for bubblewrap. An engine mounts in an order of its
own, and cannot make links or folders. So the folders, links and texts are made on the host, and an engine mounts only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from msgspec import Struct

from harness.sandbox.base import SandboxError
from harness.sandbox.filesystem import IN_MEMORY, Files
from harness.sandbox.views import mounts_below

REMEDY = "build the image again: proctor image"
_OF_THE_ENGINE = ("/dev", "/proc", "/sys")
"""What an engine makes itself, with the mount points below."""
_ENGINES_FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "run/.containerenv")
_ENGINES_FOLDERS = ("dev", "proc", "sys", "run/secrets")
"""Where engines mount something of their own in a root that they cannot write to."""


class Bind(Struct, frozen=True):
    """A path of the host, and where it appears inside."""

    source: Path
    place: str
    writable: bool = False


class Layout(Struct, frozen=True):
    """What an engine mounts: `root` first, `binds` on it, and folders in memory of `tmp_bytes` each.

    `masked` are paths below /proc that no box should show.
    """

    root: Path
    binds: tuple[Bind, ...]
    tmp_bytes: int
    masked: tuple[str, ...]


def lay_out(folder: Path, files: Files) -> Layout:
    """Make in an empty folder what a box needs for these files, and return the layout. Raise `SandboxError`."""
    plan = _Plan(folder)
    words = iter(files.options)
    for word in words:
        plan.take(word, words)
    plan.engines_own()
    for place in (*plan.folders, *IN_MEMORY):
        plan.at(place, is_folder=True)
    for place, target in plan.links.items():
        plan.link(place, target)
    for place, bind in plan.binds.items():
        plan.at(place, is_folder=bind.source.is_dir())
    for place, text in files.texts.items():
        plan.at(place, is_folder=False).write_text(text)
    (plan.root / "tmp").chmod(0o1777)
    (plan.root / "run").chmod(0o111)  # nobody needs to list it
    return Layout(plan.root, tuple(plan.binds.values()), plan.tmp_bytes, tuple(plan.masked))


class _Plan:
    """What the options ask for. Each later mount hides the earlier ones below its place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = _made(folder / "root")
        self.binds: dict[str, Bind] = {}
        self.folders: list[str] = []
        self.links: dict[str, str] = {}
        self.masked: list[str] = []
        self.tmp_bytes = 0

    def take(self, word: str, words: Iterator[str]) -> None:
        """Note what an option with its arguments asks for. The mode of a folder is always that for all to read."""
        match word:
            case "--size":
                self.tmp_bytes = int(next(words))
            case "--dir":
                self.folders.append(next(words))
            case "--symlink":
                target = next(words)
                self.links[next(words)] = target
            case "--bind" | "--ro-bind":
                self._bind(Path(next(words)), next(words), writable=word == "--bind")
            case "--tmpfs":
                self._empty(next(words))
            case "--perms" | "--proc" | "--dev" | "--remount-ro":
                next(words)
            case _:
                raise ValueError(f"this option has no counterpart in a container: {word}")

    def engines_own(self) -> None:
        """Cover what engines show of the host without being asked, and make the mount points that they need."""
        for name in _ENGINES_FOLDERS:
            _made(self.root / name)
        for name in _ENGINES_FILES:
            self.at(f"/{name}", is_folder=False)
        system = _made(self._folder / "system")
        groups = _made(system / "fs/cgroup")
        for source, place in (
            (system, "/sys"),
            (groups, "/sys/fs/cgroup"),
            (_made(self._folder / "none"), "/dev/mqueue"),
        ):
            self.binds[place] = Bind(source, place)
        self.binds["/etc/resolv.conf"] = Bind(self.root / "etc/resolv.conf", "/etc/resolv.conf")

    def at(self, place: str, *, is_folder: bool) -> Path:
        """Return the path of the host behind a place, which is made if it lies in a folder of ours."""
        path, own = self._behind(place)
        if own and is_folder:
            return _made(path)
        if own:
            _made(path.parent)
            path.touch()
            path.chmod(0o644)
        elif not place.startswith(_OF_THE_ENGINE) and not path.exists():
            raise SandboxError(f"a container has no place to show {place}: its image lacks it\n{REMEDY}")
        return path

    def link(self, place: str, target: str) -> None:
        """Make a link, or check that the image has the same one."""
        path, own = self._behind(place)
        if own:
            _made(path.parent)
            path.symlink_to(target)
        elif not (path.is_symlink() or path.exists()):
            raise SandboxError(f"a container cannot have the link {place}: its image lacks it\n{REMEDY}")

    def _bind(self, source: Path, place: str, *, writable: bool) -> None:
        if place.startswith("/proc/"):
            self.masked.append(place)
            return
        self._hide_below(place)
        self.binds[place] = Bind(source, place, writable)
        for mount in mounts_below(source):  # read-only is not recursive in all engines
            below = str(PurePosixPath(place, mount.relative_to(source)))
            self.binds[below] = Bind(mount, below, writable)

    def _empty(self, place: str) -> None:
        """Show an empty folder, in which other options may make something."""
        if place.startswith("/proc/"):
            self.masked.append(place)
        elif place not in IN_MEMORY:
            self._hide_below(place)
            self.binds[place] = Bind(_made(self._folder / f"empty-{len(self.binds)}"), place)

    def _hide_below(self, place: str) -> None:
        for known in [each for each in self.binds if each.startswith(f"{place}/")]:
            del self.binds[known]

    def _behind(self, place: str) -> tuple[Path, bool]:
        """Return the path of the host behind a place, in what is mounted around it, and whether that is ours."""
        around = [each for each in self.binds if place.startswith(f"{each}/")]
        if not around:
            own = not place.startswith(tuple(f"{each}/" for each in _OF_THE_ENGINE))
            return self.root / place.lstrip("/"), own
        bind = self.binds[max(around, key=len)]
        return bind.source / PurePosixPath(place).relative_to(bind.place), bind.source.is_relative_to(self._folder)


def _made(folder: Path) -> Path:
    """Make a folder that everyone may enter, with its parents."""
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir()
        missing.chmod(0o755)
    return folder
